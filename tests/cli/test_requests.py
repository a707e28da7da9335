"""Requests that a grammar draws over every command: a code, one line, nothing written if refused.

Trainings of other objectives than the requested one, and timings, are replaced where they take minutes and no
value of a request reaches them.
"""

import gc
import importlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import forked
import pytest
import request_grammar
import request_world

from pidlab.generators import generators
from pidlab.objectives import objectives

REQUESTS = int(os.environ.get("PIDLAB_REQUESTS", "2000"))
SEED = int(os.environ.get("PIDLAB_REQUESTS_SEED", "0"))
# Every n-th request is repeated by a process of its own.
SAMPLED = 100
PRELOADED = (
    "matplotlib.pyplot",
    "seaborn",
    "pidlab.api",
    "pidlab.bench",
    "pidlab.check",
    "pidlab.info.multisource",
    "pidlab.info.samples",
    "pidlab.plots.drawing",
    "pidlab.plots.kinds",
    "pidlab.probes.cross_fit",
    "pidlab.report",
    "pidlab.studies.run_study",
    "pidlab.validation.examination",
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202e\u2028]")


def reached(*_, **__):
    """End a child where the work of a valid request would start."""
    raise SystemExit(0)


def prepare():
    """Replace work that takes minutes; runs in the child."""
    import pidlab.bench
    import pidlab.check
    import pidlab.studies.run_study
    import pidlab.sweeps.plan
    import pidlab.validation.examination as examination

    # An estimate of time; what it times is trained by the real sweeps of the grammar.
    pidlab.sweeps.plan._timed_probing = lambda *_: 1.0
    pidlab.bench.matrix_rate = pidlab.bench.sampling_ms = lambda: 1.0
    pidlab.bench.sampling_ratio = lambda: {"at_once_ms": 1.0, "loop_ms": 1.0, "ratio": 1.0}
    pidlab.bench.probing = lambda level: {
        "level": level,
        "members": 1,
        "ms": 1.0,
        "gflop": 1.0,
        "gflops": 1.0,
    }
    pidlab.bench.time_solvers, pidlab.bench.dit_errors = list, lambda *_: []
    pidlab.check.profile = lambda *_, **__: None
    examination.examine = examination.coverage = examination.invariances = reached
    pidlab.studies.run_study.run_study = reached


def preload():
    """Import what commands import, once for all children."""
    for name in PRELOADED:
        importlib.import_module(name)
    assert generators()
    assert objectives()


def faults_of(request, named, answer, before, after):
    """Return what is wrong with an answer."""
    found = []
    if answer.was_stopped:
        return ["no line for too long"]
    if answer.code not in (0, 1, 2):
        found.append(f"exit code {answer.code}")
    if "Traceback" in answer.err or "Traceback" in answer.out:
        found.append("traceback")
    if "error: unexpected" in answer.err:
        found.append("unexpected error")
    if CONTROL.search(answer.err):
        found.append("control characters on stderr")
    if answer.code == 2:
        last = answer.err.rstrip("\n").rpartition("\n")[2]
        others = [line for line in own_lines(answer.err)[:-1] if not line.startswith("warning: ")]
        if not last.startswith("error: ") or others:
            found.append("not one line")
        if answer.out:
            found.append("refused, but stdout is not empty")
        if after != before:
            found.append("refused, but written: " + str(sorted(before.keys() ^ after.keys())[:3]))
        if not names_value(last, request, named):
            found.append("the line names no value")
        if len(last) > 2000:
            found.append(f"a line of {len(last)} characters")
        if "not enough memory" in last:
            found.append("memory ran out instead of being computed beforehand")
    elif "--json" in request and "--help" not in request and answer.out:
        try:
            forked.strict_json(answer.out)
        except ValueError as error:
            found.append(f"stdout is not one JSON document ({error})")
    if "--dry-run" in request and after != before:
        found.append("a dry run wrote files")
    return found


def own_lines(text):
    """Return the lines of stderr without those that say that a slow command runs."""
    return [line for line in text.splitlines(keepends=True) if " running for " not in line]


def plain(text):
    """Return letters and digits, as far as a message keeps them."""
    return re.sub(r"[\W_]+", "", text).lower()


def names_value(line, request, named):
    """Return whether a line has a word of an option or of a value of the request."""
    if "Missing" in line or "No such option" in line:
        return True
    said = plain(line)
    # Results of several folders that do not fit are named by the objective.
    named = [*named, "untrained"]
    if "" in named and "." in line:  # the working directory
        return True
    words = [plain(word) for value in (*named, *request) for word in re.split(r"[^\w-]+", value)]
    return any(word[:20] in said for word in words if word) or any(
        spelled in line for value in named for spelled in (value, ascii(value)[1:-1][:12]) if spelled
    )


@pytest.fixture
def trained():
    """Return a folder with the results that requests read."""
    preload()
    gc.freeze()  # pages that the collector does not touch stay shared with the children
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "trained"
        folder.mkdir()
        (folder / "odd[red]$x$.py").write_text(request_world.MINE)
        for out, request in request_world.SWEPT.items():
            answer = forked.ask([*request, "--out", out], folder)
            assert answer.code == 0, answer.err
        yield folder


@pytest.mark.slow
def test_requests_of_the_grammar_are_answered_or_refused_in_one_line(trained, capsys):
    draw, found = random.Random(SEED), request_grammar.commands()
    codes, kinds, faults, start = Counter(), Counter(), [], time.monotonic()
    world = trained.parent / "world"
    request_world.build(world, trained)
    before = request_world.snapshot(world)
    for number in range(REQUESTS):
        request, named = request_grammar.draw_request(draw, found)
        answer = forked.ask(request, world, prepare)
        after = request_world.snapshot(world)
        wrong = faults_of(request, named, answer, before, after)
        if number % SAMPLED == 0:
            wrong += differences(request, world, answer)
        command = " ".join(w for w in request[:2] if w in ("study", *{w for ws in found for w in ws}))
        codes[command, answer.code] += 1
        for what in wrong:
            kinds[what.partition(":")[0]] += 1
            short = [shown if len(shown := ascii(a)) < 200 else f"{shown[:100]}...{len(a)}" for a in request]
            faults.append((number, what, " ".join(short), answer.code, ascii(answer.err[-400:])))
        if report := os.environ.get("PIDLAB_REQUESTS_REPORT"):
            record = (number, answer.seconds, answer.busy, answer.code, [*map(ascii, request)], wrong)
            with open(report, "a") as file:
                file.write(json.dumps(record) + "\n")
        if after != before:
            restore(world, trained)
            before = request_world.snapshot(world)
    with capsys.disabled():
        total = Counter()
        for (command, code), count in sorted(codes.items()):
            total[code] += count
            print(f"{command:<16} exit {code}: {count}")
        print(
            f"{REQUESTS} requests in {time.monotonic() - start:.0f} s: {dict(total)}; faults: {dict(kinds)}"
        )
    assert not faults, "\n".join(map(str, faults))


def restore(world, trained):
    """Build the folder again after a request that wrote to it."""
    (world / "locked").chmod(0o755)
    (world / "readonly").chmod(0o755)
    shutil.rmtree(world)
    request_world.build(world, trained)


def differences(request, world, answer):
    """Return how the refusal differs in a process of its own, whose memory is that of the machine."""
    if answer.code != 2 or "memory" in answer.err:
        return []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(world.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "pidlab", *request],
        cwd=world,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=600,
        preexec_fn=forked.drop_capabilities,
    )
    found = (done.returncode, done.stdout.decode(), "".join(own_lines(done.stderr.decode())))
    same = found == (2, "", "".join(own_lines(answer.err)))
    return [] if same else [f"another answer of a new process: {found}"]
