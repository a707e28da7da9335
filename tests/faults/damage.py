"""Damaged results, and every command that reads them: `python -m faults.damage FOLDER COUNT [SEED]`.

A command must give the answer that it gives on the undamaged folder, or exit with 2 and one line. Prints a
line of JSON per problem and per command.
"""

import json
import random
import shutil
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from faults import children
from faults.children import SWEEP

STUDY = Path(__file__).with_name("study.toml")
# What a field is replaced by.
VALUES = (
    None,
    -1,
    0,
    7,
    1e300,
    0.5,
    True,
    "",
    "x",
    "1",
    "{}",
    "[]",
    "null",
    [],
    {},
    [None],
    {"x": None},
    "\0",
    "done",
)
RECORDED = "figures/study/main"


def flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 1, 8))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def cut(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: draw.choice((0, 1, draw.randrange(len(data)), len(data) - 1))])


def overwrite(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    place, size = draw.randrange(len(data)), draw.choice((16, 512, 4096))
    data[place : place + size] = bytes(len(data[place : place + size]))
    path.write_bytes(data)


def remove(path: Path, _: random.Random) -> None:
    path.unlink()


def make_folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def change_field(path: Path, draw: random.Random) -> None:
    """Set one field of one row of the store to another value."""
    with closing(sqlite3.connect(path)) as db:
        table = draw.choice(("runs", "runs", "captured", "cohorts"))
        column = draw.choice([row[1] for row in db.execute(f"PRAGMA table_info({table})")])
        # SQLite takes only whole numbers as `id`.
        numbers = (-1, 7, 2**40)
        value = draw.choice(
            numbers if column == "id" else [v for v in VALUES if not isinstance(v, list | dict)]
        )
        rows = [row for (row,) in db.execute(f"SELECT rowid FROM {table}")]
        db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = ?", (value, draw.choice(rows)))
        db.commit()


def delete_rows(path: Path, draw: random.Random) -> None:
    """Delete some rows of a table of the store, or all."""
    with closing(sqlite3.connect(path)) as db:
        table = draw.choice(("runs", "captured", "cohorts"))
        rows = [row for (row,) in db.execute(f"SELECT rowid FROM {table}")]
        chosen = draw.sample(rows, draw.choice((1, 1, 2, len(rows))))
        db.executemany(f"DELETE FROM {table} WHERE rowid = ?", [(row,) for row in chosen])
        db.commit()


def change_schema(path: Path, draw: random.Random) -> None:
    """Drop a table or a column, or claim another schema."""
    statements = ["DROP TABLE runs", "DROP TABLE captured", "DROP TABLE cohorts", "PRAGMA user_version = 1"]
    statements += [
        "PRAGMA user_version = 3",
        "PRAGMA application_id = 1",
        "ALTER TABLE captured DROP COLUMN low",
    ]
    statements += ["ALTER TABLE runs DROP COLUMN point", "ALTER TABLE runs RENAME COLUMN seed TO seeds"]
    with closing(sqlite3.connect(path)) as db:
        db.execute(draw.choice(statements))
        db.commit()


def edit_lines(path: Path, draw: random.Random) -> None:
    """Delete, repeat, shorten or change a line of a table."""
    lines = path.read_text().splitlines(keepends=True)
    place = draw.randrange(len(lines))
    cells = lines[place].split(",")
    cells[draw.randrange(len(cells))] = draw.choice(("", "x", "0.5", "nan", "1e400", '"'))
    lines[place] = draw.choice(
        ("", 2 * lines[place], lines[place][: len(lines[place]) // 2], ",".join(cells))
    )
    path.write_text("".join(lines))


def edit_json(path: Path, draw: random.Random) -> None:
    """Replace or remove a random value of a JSON file."""
    document = json.loads(path.read_text())
    nodes: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                nodes.append((value, key))
                visit(value[key])

    visit(document)
    within, key = draw.choice(nodes[: draw.choice((10, len(nodes)))])
    if draw.random() < 0.3:
        del within[key]
    else:
        within[key] = draw.choice(VALUES)
    path.write_text(draw.choice((json.dumps(document),) * 9 + ("null", "[]", "3", "{}")))


ANY = (flip, cut, overwrite, remove, make_folder)
STORE = (
    change_field,
    change_field,
    delete_rows,
    change_schema,
    flip,
    flip,
    cut,
    overwrite,
    remove,
    make_folder,
)
TABLE = (edit_lines, edit_lines, edit_lines, *ANY)
RECORD = (edit_json, edit_json, edit_json, edit_json, *ANY)


def reading(code: str) -> Callable[[], None]:
    """Return a function that runs Python with `pidlab`."""
    return lambda: exec(code, {"pidlab": __import__("pidlab")})


def commands(key: str) -> dict[str, Callable[[], object]]:
    """Return what reads results, by name; `key` is the key of a run with saved weights."""
    load = f"run = pidlab.load_run('out', {key!r}); x = run.generator.sample(9, seed=3).x\n"
    load += "print([z.tolist() for z in run.represent(*x).values()])"
    named = {
        "status": ("status", "out", "--json"),
        "export": ("export", "out", "--out", "answer.csv"),
        "export json": ("export", "out", "--format", "json"),
        "table": ("table", "out", "--format", "csv"),
        "plot": ("plot", "out", "--term", "unique1", "--format", "png"),
        "report": ("report", "out"),
        "study check": ("study", "check", STUDY),
        "study list": ("study", "list", "--json"),
        "study run": ("study", "run", STUDY, "--device", "cpu"),
        "table of a study": ("table", RECORDED, "--format", "csv"),
    }
    functions = {name: children.pidlab(*arguments) for name, arguments in named.items()}
    functions["sweep"] = resume
    functions["load_results"] = reading("print(pidlab.load_results('out').table.to_csv())")
    return functions | {"load_run": reading(load)}


def resume() -> None:
    """Rerun the sweep; its figure, which takes longest, does not depend on the store."""
    import pidlab.api

    pidlab.api.write_sweep_files = lambda result: None
    children.pidlab(*SWEEP)()


# What each command answers with, in addition to stdout.
FILES = {
    "export": ["answer.csv"],
    "plot": ["out/capture.csv"],
    "report": ["out/report.html"],
    "sweep": ["out/results.csv"],
    "study check": [],
    "study run": [f"{RECORDED}/results.csv", "figures/study/claims.json", "figures/study/captured.svg"],
}
OF_SWEEP = ("status", "export", "export json", "table", "plot", "report", "sweep", "load_results", "load_run")
OF_STUDY = ("study check", "study list", "table of a study")
NESTED = "runs/studies/study/quick/main"
# Files that are damaged, with the ways to damage them and the commands that read them.
TARGETS = [
    *[("out/results.sqlite", STORE, ("status", "export", "export json", "sweep", "load_run"))] * 4,
    *[("out/results.csv", TABLE, ("table", "plot", "report", "load_results", "sweep"))] * 2,
    *[("out/provenance.json", RECORD, ("table", "plot", "report", "load_results", "sweep"))] * 2,
    ("out/weights/KEY.safetensors", ANY, ("load_run",)),
    (f"{RECORDED}/results.csv", TABLE, OF_STUDY),
    (f"{RECORDED}/provenance.json", RECORD, OF_STUDY),
    ("figures/study/provenance.json", RECORD, (*OF_STUDY, "study run")),
    ("figures/study/claims.json", RECORD, ("study list", "study check")),
    (f"{NESTED}/results.sqlite", STORE, ("study run",)),
    (f"{NESTED}/provenance.json", RECORD, ("study run",)),
]


class Fuzzer:
    """Folders that are damaged, and the answers of all commands on the undamaged ones."""

    def __init__(self, base: Path) -> None:
        self.base, self.whole = base, base / "whole"
        children.set_up(self.whole)
        assert children.run(children.pidlab("study", "run", STUDY, "--device", "cpu"), self.whole).code == 0
        self.key = sorted((self.whole / "out/weights").iterdir())[0].stem
        self.commands = commands(self.key)
        self.answers = {name: self.answer(name, self.whole)[1] for name in self.commands}

    def answer(self, name: str, start: Path) -> tuple[children.Ended, dict[str, bytes]]:
        """Return how a command ends on a copy of a folder, and its answer."""
        folder = children.copy(start, self.base / "folder")
        ended = children.run(self.commands[name], folder)
        answer = {
            file: (folder / file).read_bytes() for file in FILES.get(name, []) if (folder / file).is_file()
        }
        if name not in ("sweep", "study run", "plot", "report", "export"):
            answer["stdout"] = ended.out.encode()
        return ended, answer

    def problem(self, name: str, damaged: Path) -> tuple[str, str | None]:
        """Return what a command did on a damaged folder, and what is wrong with it."""
        ended, answer = self.answer(name, damaged)
        if wrong := children.problem(ended):
            return "wrong", wrong
        if ended.code == 0 and answer != self.answers[name]:
            other = [file for file in self.answers[name] if answer.get(file) != self.answers[name][file]]
            if (name == "study list" and b'"not run"' in answer["stdout"]) or b'"outdated' in answer.get(
                "stdout", b""
            ):
                return "refused", None
            return "wrong", f"exit code 0 and another answer: {', '.join(other)}"
        if ended.code == 1:
            return "wrong", f"exit code 1: {ended.err.strip()[-200:]}"
        if ended.code == 2 and name == "export" and answer:
            return "wrong", "refused, but answer.csv was written"
        return ("right", None) if ended.code == 0 else ("refused", None)


def main(base: Path, count: int, seed: int) -> None:
    fuzzer, damaged = Fuzzer(base), base / "damaged"
    outcomes: dict[str, Counter[str]] = {}
    seconds: Counter[str] = Counter()
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        target, ways, readers = draw.choice(TARGETS)
        way = draw.choice(ways)
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(fuzzer.whole, damaged)
        way(damaged / target.replace("KEY", fuzzer.key), draw)
        for name in readers:
            began = time.perf_counter()
            outcome, problem = fuzzer.problem(name, damaged)
            seconds[name] += time.perf_counter() - began
            outcomes.setdefault(name, Counter())[outcome] += 1
            if problem:
                where = f"damage {number}, {way.__name__} of {target}, {name}"
                print(json.dumps({"problem": f"{where}: {problem}"}), flush=True)
    for name, counter in outcomes.items():
        print(json.dumps({"command": name, **counter, "seconds": round(seconds[name])}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 23)
