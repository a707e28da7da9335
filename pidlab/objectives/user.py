"""A user's own objective: found in a file, a module or an entry point."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from modulefinder import ModuleFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from pidlab.errors import InvalidRequest, nearest

# Code that is installed, and pidlab's own, which the result version stands for.
INSTALLED, OURS = {"site-packages", "dist-packages"}, ["pidlab"]


def file_of(where: str) -> Path | None:
    """The file behind `my_loss.py` or `pkg.mod`; None where there is none to read.

    For `pkg.mod` the working folder has to be importable; packages that hold a module are executed.
    """
    if where.endswith(".py"):
        path = Path(where)
    else:
        try:
            spec = importlib.util.find_spec(where)
        except (ImportError, ValueError):
            return None
        path = Path(spec.origin) if spec and spec.origin else Path()
    return path.resolve() if path.is_file() else None


def neighbours(where: str, path: Path) -> dict[str, Path]:
    """The modules that a file imports from its own folder tree, and they in turn, by name.

    Args:
        where: the file's or module's name in a reference.
        path: the file.
    """
    by_name = not where.endswith(".py")
    folder = path.parents[where.count(".") + (path.name == "__init__.py")] if by_name else path.parent
    if INSTALLED & {*folder.parts}:
        return {}
    finder = ModuleFinder([str(folder)], excludes=OURS)
    try:
        if by_name:
            finder.import_hook(where)
        else:
            finder.run_script(str(path))
    except (ImportError, SyntaxError, ValueError):  # for whoever loads it to say
        return {}
    found = ((name, getattr(module, "__file__", None)) for name, module in finder.modules.items())
    files = {name: Path(file) for name, file in found if file}
    return {name: file for name, file in sorted(files.items()) if file.resolve() != path}


def digest_of(where: str, path: Path) -> str:
    """16 hex digits of the SHA-256 of a file and of what it imports from its own folder tree."""
    total = hashlib.sha256(path.read_bytes())
    for name, file in neighbours(where, path).items():
        if data := file.read_bytes():  # an empty __init__.py says nothing
            total.update(f"{name} {hashlib.sha256(data).hexdigest()}".encode())
    return total.hexdigest()[:16]


def is_own(name: str) -> bool:
    """Whether a reference's name points at a file or a module: `my_loss.py:MyLoss`, `pkg.mod:MyLoss`."""
    return ":" in name


def find(name: str) -> Any:
    """The class or function behind `my_loss.py:MyLoss` or `pkg.mod:MyLoss`.

    Raises:
        InvalidRequest: no such file, module or attribute; neither class nor callable.
    """
    where, _, attribute = name.rpartition(":")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_module(where)
    if not hasattr(module, attribute):
        offered = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        hint = nearest(attribute, offered) if offered else "it defines no class or function"
        raise InvalidRequest(f"{where} has no {attribute!r}: {hint}")
    found = getattr(module, attribute)
    if not callable(found):
        raise InvalidRequest(
            f"{name} is {found!r}, neither a class nor a function: name a torch.nn.Module or a loss(z1, z2)"
        )
    return found


def source_digest(name: str) -> str | None:
    """16 hex digits of the SHA-256 of the code behind a reference's name; runs are keyed by it.

    That is the file, with the modules that it imports from its own folder and the folders below. Nothing
    is executed, but for the packages that hold a module. None where there is no file to read.
    """
    where = name.rpartition(":")[0]
    with _importable(Path.cwd()):
        path = file_of(where)
    return None if path is None else digest_of(where, path)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        near = sorted(str(other) for other in path.parent.glob("*.py")) if path.parent.is_dir() else []
        hint = nearest(str(path), near) if near else "there is no Python file in that folder"
        raise InvalidRequest(f"no file {str(path)!r}: {hint}")
    resolved = path.resolve()
    return _execute(resolved, digest_of(path.name, resolved))


@cache
def _execute(path: Path, digest: str) -> ModuleType:
    # One module per path and state of its code, registered so that its classes can be looked up.
    name = f"pidlab_own_{hashlib.sha256(f'{path}{digest}'.encode()).hexdigest()[:12]}"
    beside = neighbours(path.name, path)
    for other in _brought & beside.keys():
        sys.modules.pop(other, None)  # an earlier state of it, or one of another folder
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _importable(path.parent):
            spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        raise InvalidRequest(f"{path.name}, line {error.lineno}: {error.msg}") from None
    except BaseException:
        del sys.modules[name]
        raise
    _brought.update(n for n in beside if getattr(sys.modules.get(n), "__file__", None) == str(beside[n]))
    return module


# Names of modules that own files have imported from their own folders.
_brought: set[str] = set()


def _from_module(name: str) -> ModuleType:
    try:
        with _importable(Path.cwd()):
            return importlib.import_module(name)
    except (ModuleNotFoundError, ValueError) as error:
        missing = getattr(error, "name", name)
        if missing and not name.startswith(missing):
            raise  # the module is there, and what it imports is not
        raise InvalidRequest(
            f"no module {name!r}: expected a file such as my_loss.py:MyLoss or an installed module"
        ) from None


@contextmanager
def _importable(folder: Path) -> Generator[None]:
    # A file's neighbours, or modules of the working folder, as `python` itself would find them.
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
