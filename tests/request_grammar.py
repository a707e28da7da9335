"""A grammar of requests, built from the options that the commands declare.

Each parameter draws from values for its name, its metavar or its type, and from values that are hostile for
every parameter. A new option is covered as soon as it is declared.
"""

import inspect

import typer

from pidlab.cli.commands import app

LONG = "x" * 300
TEXTS = [
    "", " ", "[red]", "[/]", "[/red]", "[bold]x[/bold]", "[link=file:///x]y", "$x$", "$\\frac{", "\\",
    "%s{}{0}", "'",
    '"', "a\nb", "a\rb", "\x1b[31mred", "\x07", "\u202e", "\u2028", "😀", "é", "\udcff", LONG, "x" * 100_000,
    "(" * 1000, "[" * 1000, "-", "--", "../..", ".", "~", "None", "nan", "a=b", "=", "==", ":", "a:b", "*",
    "<script>",
    "&amp;", ",", ",,", ";", "\t", "True", "#", "½", "٣",
]  # fmt: skip
INTEGERS = [
    "0", "1", "-1", "2", "3", "16", "1000000000", "2147483648", "9223372036854775807", "9223372036854775808",
    "-9223372036854775809", "1" + "0" * 30, "9" * 5000, "1e3", "1.5", "nan", "inf", "", "½", "٣", "1_0",
    " 7 ", "0x10",
]  # fmt: skip
FLOATS = [
    "0", "1", "-1", "0.5", "1e-300", "1e308", "1e400", "nan", "inf", "-inf", "", "½", "1,5", "9" * 400,
    "-0.0",
    "1_0", "0x1p3", "1e-400",
]  # fmt: skip
AXES = [
    "0", "1", "0.5", "0..1", "0..1:3", "1..0:2", "0,0.25,1", "0...1", "..", "0..", "-1", "nan", "inf",
    "0..inf",
    "0..1:1000000000", "0..1:100000", "1e300", "-0.0", "0,-0.0", "0,0.0", "1,1", "", "0..1..2", ":::",
    "9" * 5000,
    "0," * 3000, "½", "٣", "1_0", "1e9", "0..1e9:3", "0.5,", "1e-320", "0..1:-3", "0..1e-13:3", "[0]",
    "0..0:1",
]  # fmt: skip
PATHS = [
    "done", "done/", "./done", "odd[red]$x$", "empty", "missing", "file.txt", "broken", "cut", "readable",
    "locked",
    "readonly", "done/results.csv", "", LONG, "a/" * 2500, "[red]", "$x$", "\udcff", "new\nline", "null.csv",
    "full.npz",
    "~", "loop", "fifo", "new", "new/sub/deep", "readonly/new", "file.txt/new", "new.npz", "new.png",
    "new.pdf", "new.csv", "new.json", "readonly/new.npz", "readonly/new.png", "[red]new.svg", "\udcff.npz",
]  # fmt: skip
FILES = [
    "xor.csv", "and", "xor", "rows.csv", "three.csv", "cov.npy", "rows.npy", "text.csv", "empty.csv",
    "empty.npy", "nan.npy",
    "big.npy", "x.json", "deep.json", "dir.csv", "loop.csv", "fifo.csv", "zero.csv", "zero.npy", "zero.npz",
    "[red].csv",
    "$x$.csv", "\udcff.csv", "-dash.csv", "rows.npz", "rows.pt", "bad.npz", "dir.npz", "fifo.npz",
    "object.npy",
    "counts.csv", "markup.csv", "latin.csv", "NUL.csv", "cov.csv",
]  # fmt: skip
OBJECTIVES = [
    "cross", "untrained", "comm", "comm(temperature=0.2)", "mine.py:Mine", "odd[red]$x$.py:Mine", "cross()",
    " comm ( temperature = 0.1 ) ", "comm(temperature=1e400)", "comm(" + "[" * 200 + "]" * 200 + ")",
    "comm(temperature=" + "(" * 90 + "1" + ")" * 90 + ")", "comm(temperature=1000000000)",
    "comm(temperature='[red]')",
    "broken.py:Mine", "missing.py:Mine", "raises.py:Mine", "exits.py:Mine", "mine.py", "mine.py:",
    "dir.py:Mine",
    "fifo.py:Mine", "zero.py:Mine", "os:system('x')", "os:getcwd", "builtins:dict", "json:JSONDecoder",
    "torch.nn:Linear",
    "torch.nn:Module", "pidlab:sweep", "comm(**{})", "comm,cross", "\udcff.py:Mine",
    "mine.py:Mine(x='[/red]')",
    "mine.py:Mine(x=" + "9" * 5000 + ")", "mine.py:Mine(x='" + "y" * 3000 + "')", "comm(" + " " * 1000,
    "a" * 300 + ".py:M",
]  # fmt: skip
GENERATORS = [
    "atoms", "atoms(noise=0.1)", "gate('and')", "gate('xor.csv')", "gate('big.npy')", "gate('markup.csv')",
    "gate('zero.csv')", "gate('fifo.csv')", "gate('dir.csv')", "gate('[red].csv')", "arrays('rows.npz')",
    "arrays('missing.npz')", "arrays('zero.npz')", "arrays('fifo.npz')", "arrays('dir.npz')",
    "arrays('bad.npz')",
    "atoms(width=1000000000)", "atoms(depth=1000000000)", "atoms(nuisance=1000000000)",
    "trifeature(size=100000)",
    "trifeature", "atoms(unique1=30)", "three", "arrays('rows.csv')", "gate('" + "y" * 3000 + "')",
    "arrays('\udcff.npz')",
]  # fmt: skip
LITERALS = [
    "0", "1", "-1", "2", "0.5", "1000000000", "10" + "0" * 30, "1e308", "-0.0", "1e-320", "None", "True",
    "''", "'x'",
    "'[red]'", "[]", "[[]]", "[0.5]", "{}", "()", "(0.5, 0.5)", "b'x'", "1j", "{1}", "...",
    "'" + "y" * 300 + "'",
]  # fmt: skip
STUDIES = [
    "tiny.toml", "tiny", "unique", "synergy", "missing", "missing.toml", "bad.toml", "dir.toml", "zero.toml",
    "fifo.toml",
    "[red]", "../x", "broken", "latin.toml", "odd[red].toml",
]  # fmt: skip
PAIRS = [
    "unique1=0",
    "unique1=0.5",
    "objective=cross",
    "noise=[red]",
    "unique1=nan",
    "step=0",
    "x=y",
    "unique1=1e999",
]

# Values by name of the parameter; the other parameters draw by metavar or type.
BY_NAME = {
    "objective": OBJECTIVES,
    "objectives": OBJECTIVES,
    "order": ["cross", "untrained", "truth", "odd[red]$x$.py:Mine", "missing"],
    "generator": GENERATORS,
    "vary": [f"{n}={v}" for n in ("noise", "hidden", "layers", "rate", "depth", "views",
        "world") for v in AXES[:30:3]]
    + ["hidden=1e12", "hidden=1000000000", "layers=1000000000", "nuisance=1000000000", "rate=1e30", "seed=1"],
    "label": ["cross=[red]", "cross=$x$", "cross=\\", "untrained=", "=x", "missing=x", "cross=" + LONG,
        "cross=é😀"],
    "at": PAIRS,
    "term": ["redundant", "synergy", "unique1", "nuisance:1", "[red]", "total"],
    "readout": ["z1", "z12", "z3", "[red]"],
    "kind": ["capture", "profile", "leakage", "tradeoff", "learning", "decomposition", "readability",
        "oracle", "known-answers",
             "objectives", "generators", "gates", "measures", "[red]"],
    "format_": ["pdf", "svg", "png", "csv", "json", "parquet", "latex", "markdown", "gif", "[red]"],
    "venue": ["neurips", "icml-column", "[red]"],
    "font": ["serif", "sans", "[red]"],
    "rows": ["objective", "readout", "unique1", "[red]"],
    "views": ["task", "noise", "independent", "generic", "[red]"],
    "probes": ["quick", "[red]"],
    "device": ["auto", "cpu", "cuda", "[red]"],
    "recipe": ["comm", "factorcl", "[red]"],
    "optimizer": ["adam", "sgd", "adamw", "[red]"],
    "schedule": ["constant", "cosine", "[red]"],
    "measure": ["broja", "imin", "mmi", "ccs", "dep", "sx", "gk", "[red]"],
    "columns": ["x1,x2,y", "a,b,c", "x1,x2", "x1,x1,y", ",,", "[red],b,c"],
    "weights": ["count", "x1", "[red]"],
    "groups": ["group", "x1", "[red]"],
    "gaussian": ["1,1,1", "1,2,1", "0,1,1", "1,1", "1000000000,1,1", "a,b,c", "-1,1,1"],
    "sources": ["2", "3", "4", "5", *INTEGERS],
    "split": ["train", "eval", "[red]"],
    "profile": ["quick", "laptop", "paper", "[red]"],
    "part": ["quick", "coverage", "invariances", "[red]"],
    "case": ["[red]"],
    "save": ["weights", "representations", "[red]"],
    "engine": ["local", "dask", "[red]"],
    "scheduler": ["", "nowhere.json", "file.txt", "tcp://127.0.0.1:1", "[red]", "tcp://" + LONG],
    "what": FILES,
    "file": FILES,
}  # fmt: skip
BY_METAVAR = {"AXIS": AXES, "NAME": STUDIES}
BY_TYPE = {"int": INTEGERS, "float": FLOATS, "path": PATHS}

# How often a command is drawn; those whose valid requests take long are rare.
WEIGHTS = {
    "sweep": 5,
    "decompose": 4,
    "truth": 3,
    "generate": 2,
    "study": 0.7,
    "readability": 0.15,
    "bench": 0.5,
}

# Options that keep a request small, replaced where the request draws the option itself.
SMALL = {
    ("sweep",): {"objective": "untrained", "seeds": "1", "steps": "2", "batch": "16", "probes": "quick"},
    ("readability",): {"objective": "untrained", "seeds": "1", "steps": "1", "probes": "quick", "sigma": "0"},
    ("bench",): {"objective": "cross", "steps": "1"},
    ("generate",): {"samples": "5", "out": "new.npz"},
    ("picture",): {"samples": "2", "out": "new.png"},
    ("known-answers",): {"part": "quick", "out": "new"},
}
# Real trainings draw no size or effort: a valid one may take days.
REAL = {
    "objective", "generator", "out", "save", "retry_failed", "fail_fast", "as_json", "views", "zipped",
    "optimizer",
    "schedule", "weight_decay", "clip", "device",
}  # fmt: skip
ARGUMENTS = {
    ("decompose",): FILES, ("estimate",): FILES, ("check",): OBJECTIVES, ("generate",): GENERATORS,
    ("picture",): ["trifeature", "trifeature(size=64)", *GENERATORS],
}  # fmt: skip


def commands(group=None, path=()):
    """Return every command by its words, from the application itself."""
    group = group or typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        words = (*path, name)
        found |= commands(command, words) if hasattr(command, "commands") else {words: command}
    return found


def random_reference(draw):
    """Return a reference to a registered class with arguments that its signature has."""
    from pidlab.generators import generators
    from pidlab.objectives import objectives

    name, cls = draw.choice([*generators().items(), *objectives().items()])
    known = [p for p in inspect.signature(cls).parameters if p not in ("encoders", "world")]
    chosen = draw.sample(known, min(len(known), draw.choice([0, 1, 1, 2])))
    return f"{name}({', '.join(f'{p}={draw.choice(LITERALS)}' for p in chosen)})"


def values_for(words, parameter):
    """Return the values that a parameter draws from, besides the hostile texts."""
    if parameter.param_type_name == "argument" and words in ARGUMENTS:
        return ARGUMENTS[words]
    if parameter.name in BY_NAME:
        return BY_NAME[parameter.name]
    if parameter.metavar in BY_METAVAR:
        return BY_METAVAR[parameter.metavar]
    annotation = str(parameter.type_descriptor.annotation).lower()
    return next((values for kind, values in BY_TYPE.items() if kind in annotation), TEXTS)


def draw_value(words, parameter, draw):
    """Return a value of a parameter: of its own kind in most cases, hostile in the others."""
    kind = draw.random()
    if parameter.name in ("objective", "generator") and kind < 0.25:
        return random_reference(draw)
    return draw.choice(TEXTS if kind > 0.85 else values_for(words, parameter))


def draw_request(draw, found):
    """Return the arguments of one request, and the words that its refusal may name."""
    weights = [WEIGHTS.get(w[0], 1.5) for w in found]
    words, command = draw.choices([*found.items()], weights)[0]
    small = dict(SMALL.get(words, {}))
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    is_real = words == ("readability",) or (words == ("sweep",) and draw.random() < 0.08)
    if is_real:
        options = [p for p in options if p.name in REAL]
    request, named = [*words], []
    for parameter in command.params:
        if parameter.param_type_name == "argument" and draw.random() > 0.02:
            for _ in range(draw.choice([1, 1, 2]) if parameter.nargs == -1 else 1):
                # The folder of results is drawn more often than the others: most of its options need one.
                value = draw_value(words, parameter, draw)
                if parameter.metavar in ("DIR", "DIR...") and draw.random() < 0.6:
                    value = draw.choice(["done", "done", "odd[red]$x$"])
                named += [value, parameter.metavar or ""]
                request.append(value)
    drawn = draw.sample(options, min(len(options), draw.choice([0, 1, 1, 2, 2, 3, 5])))
    for parameter in drawn:
        small.pop(parameter.name, None)
        option = draw.choice(parameter.opts)
        named.append(parameter.name)
        if parameter.is_flag:
            request.append(option)
            continue
        for _ in range(draw.choice([1, 1, 1, 1, 2])):  # also options that are given twice
            value = draw_value(words, parameter, draw)
            named.append(value)
            request += [f"{option}={value}"] if draw.random() < 0.3 else [option, value]
    for parameter in command.params:
        if parameter.name in small:
            request += [parameter.opts[0], small[parameter.name]]
    if words == ("sweep",):
        request += ["--out", "new"] * is_real or ["--dry-run"] * ("--dry-run" not in request)
    if draw.random() < 0.02:
        request.append(draw.choice(["--no-such", "-x", "--", "extra", "--json=1", "--help"]))
    return request, named
