"""Examples in docstrings and Python code blocks in README.md and docs/ run and print what they say."""

import doctest
import importlib
import inspect
import pkgutil
import re
import sys
import traceback
from pathlib import Path

import pytest
import torch

import pidlab
from pidlab.probes import finite_probes

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
# A fenced block, and the HTML comment right before it that excludes it from the tests.
BLOCK = re.compile(
    r"(?P<skip><!--\s*no-test\s*-->\s*\n)?^```python[^\n]*\n(?P<code>.*?)^```\s*$", re.M | re.S
)


def docstrings():
    """Yield the doctests of public modules, functions, classes and methods of the package."""
    parser = doctest.DocTestParser()
    for name in sorted(info.name for info in pkgutil.walk_packages(pidlab.__path__, "pidlab.")):
        if any(part.startswith("_") for part in name.split(".")):
            continue
        module = importlib.import_module(name)
        for path, docstring in _public(module, name):
            test = parser.get_doctest(docstring, dict(vars(module)), path, module.__file__, 0)
            if test.examples:
                yield pytest.param(test, id=path)


def _public(module, prefix):
    if module.__doc__:
        yield prefix, module.__doc__
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        yield from _members(value, f"{prefix}.{name}")


def _members(value, path):
    if isinstance(value, type):
        for name, member in vars(value).items():
            if not name.startswith("_"):
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if inspect.isfunction(member) and member.__doc__:
                    yield f"{path}.{name}", inspect.unwrap(member).__doc__
    if isinstance(value, type) or inspect.isroutine(value):
        docstring = inspect.unwrap(value).__doc__
        if docstring:
            yield path, docstring


def pages():
    """Yield the Markdown pages with Python code blocks that are tested."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        blocks = [
            (text.count("\n", 0, match.start("code")), match["code"])
            for match in BLOCK.finditer(text)
            if not match["skip"]
        ]
        if blocks:
            yield pytest.param(path, blocks, id=str(path.relative_to(ROOT)))


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Examples show bits to one decimal, which MLPs with a tenth of the steps give, too.
    monkeypatch.setattr(finite_probes, "MIN_STEPS", 60)
    # Examples may draw from the global generator, as a user's code does.
    with torch.random.fork_rng(devices=[]):
        yield
    if "matplotlib.pyplot" in sys.modules:
        importlib.import_module("matplotlib.pyplot").close("all")


def _run(test, clear_globs=True):
    failures = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=failures.append, clear_globs=clear_globs)
    if failures:
        pytest.fail("".join(failures), pytrace=False)


@pytest.mark.parametrize("test", list(docstrings()))
def test_docstring_examples_print_what_they_say(test):
    # A copy: a failed run under pytest-xdist may be repeated, and `run` clears the globals.
    _run(doctest.DocTest(test.examples, dict(test.globs), test.name, test.filename, 0, test.docstring))


@pytest.mark.parametrize(("path", "blocks"), list(pages()))
def test_code_blocks_of_the_documentation_run(path, blocks):
    # The blocks of a page share one namespace and run in order.
    names = {"__name__": "__example__"}
    for line, code in blocks:
        if code.lstrip().startswith(">>>"):
            examples = doctest.DocTestParser().get_doctest(code, names, path.name, str(path), line)
            _run(examples, clear_globs=False)
            names = examples.globs
        else:
            # Blank lines in front keep the line numbers of tracebacks those of the page.
            program = compile("\n" * line + code, str(path), "exec")
            try:
                exec(program, names)
            except Exception:
                pytest.fail(f"{path.name}:{line}\n{code}\n{traceback.format_exc(limit=-2)}", pytrace=False)
