"""Files and modules with user-defined objectives."""

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

# Installed code is not part of a digest; the result version stands for pidlab's own code.
INSTALLED, PIDLAB = {"site-packages", "dist-packages"}, ["pidlab"]
# Prefix of the module names under which files are imported.
FILE_MODULE = "pidlab_own_"


def is_user_defined(name: str) -> bool:
    """Return whether the name points into a file or a module: `my_loss.py:MyLoss`, `pkg.mod:MyLoss`."""
    return ":" in name


def find_attribute(name: str, digest: str | None = None) -> Any:
    """Import the class or function behind `my_loss.py:MyLoss` or `pkg.mod:MyLoss`.

    Args:
        name: File or module, a colon, and the name of the attribute.
        digest: Digest of the source if it is known (`source_digest`); the file is scanned otherwise.

    Raises:
        InvalidRequest: If there is no such file, module or attribute, or if it is not callable.
    """
    where, _, attribute = name.rpartition(":")
    module = _import_file(Path(where), digest) if where.endswith(".py") else _import_module(where)
    if not hasattr(module, attribute):
        offered = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        hint = nearest(attribute, offered) if offered else "it defines no class or function"
        raise InvalidRequest(f"{where} has no {attribute!r}: {hint}")
    value = getattr(module, attribute)
    if not callable(value):
        raise InvalidRequest(
            f"{name}: {value!r} is neither a class nor a function; name a torch.nn.Module or a loss(z1, z2)"
        )
    return value


def source_digest(name: str) -> str | None:
    """Return a digest of the code behind a name; runs of a user-defined objective are keyed by it.

    The code is the file together with the modules that it imports from its own folder and the folders
    below. Nothing is executed except the packages that contain a module.

    Args:
        name: File or module, a colon, and the name of the attribute.

    Returns:
        16 hexadecimal digits of the SHA-256, or None if there is no file to read.
    """
    where = name.rpartition(":")[0]
    with _importable(Path.cwd()):
        path = _file_of(where)
    return None if path is None else _digest_of(where, path)


def _file_of(where: str) -> Path | None:
    """Return the file behind `my_loss.py` or `pkg.mod`, or None if there is none to read.

    Packages that contain a module are executed.
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


def _neighbors(where: str, path: Path) -> dict[str, Path]:
    """Return by name the modules that a file imports, directly or not, from its own folder tree."""
    by_name = not where.endswith(".py")
    folder = path.parents[where.count(".") + (path.name == "__init__.py")] if by_name else path.parent
    if INSTALLED & {*folder.parts}:
        return {}
    finder = ModuleFinder([str(folder)], excludes=PIDLAB)
    try:
        if by_name:
            finder.import_hook(where)
        else:
            finder.run_script(str(path))
    except (ImportError, SyntaxError, ValueError):  # reported when the file is imported
        return {}
    modules = ((name, getattr(module, "__file__", None)) for name, module in finder.modules.items())
    files = {name: Path(file) for name, file in modules if file}
    return {name: file for name, file in sorted(files.items()) if file.resolve() != path}


def _digest_of(where: str, path: Path) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a file and of its neighbors."""
    total = hashlib.sha256(path.read_bytes())
    neighbors = _neighbors(where, path)
    for name, file in neighbors.items():
        if data := file.read_bytes():  # an empty __init__.py changes nothing
            total.update(f"{name} {hashlib.sha256(data).hexdigest()}".encode())
    digest = total.hexdigest()[:16]
    _scanned[path, digest] = neighbors
    return digest


# Neighbors of a file by its path and digest: scanning takes longer than importing.
_scanned: dict[tuple[Path, str], dict[str, Path]] = {}


def _import_file(path: Path, digest: str | None) -> ModuleType:
    if not path.is_file():
        near = sorted(str(other) for other in path.parent.glob("*.py")) if path.parent.is_dir() else []
        hint = nearest(str(path), near, listed="Python files in that folder")
        hint = hint if near else "there is no Python file in that folder"
        raise InvalidRequest(f"no file {str(path)!r}: {hint}")
    resolved = path.resolve()
    return _execute(resolved, digest or _digest_of(path.name, resolved))


@cache
def _execute(path: Path, digest: str) -> ModuleType:
    # One module per path and digest, registered so that its classes can be looked up by name.
    name = f"{FILE_MODULE}{hashlib.sha256(f'{path}{digest}'.encode()).hexdigest()[:12]}"
    neighbors = _scanned[path, digest] if (path, digest) in _scanned else _neighbors(path.name, path)
    for other in _imported_neighbors & neighbors.keys():
        sys.modules.pop(other, None)  # an earlier version, or a module of another folder
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
    _imported_neighbors.update(
        n for n in neighbors if getattr(sys.modules.get(n), "__file__", None) == str(neighbors[n])
    )
    return module


# Names of modules that user files have imported from their own folders.
_imported_neighbors: set[str] = set()


def _import_module(name: str) -> ModuleType:
    try:
        with _importable(Path.cwd()):
            return importlib.import_module(name)
    except (ModuleNotFoundError, ValueError) as error:
        missing = getattr(error, "name", name)
        if missing and not name.startswith(missing):
            raise  # the module exists, and one that it imports does not
        raise InvalidRequest(
            f"no module {name!r}: expected a file such as my_loss.py:MyLoss or an installed module"
        ) from None


@contextmanager
def _importable(folder: Path) -> Generator[None]:
    """Put a folder first on the import path, as `python file.py` does, and write no bytecode.

    Python would use the bytecode of an earlier version of a file of equal length that was written in the same
    second.
    """
    sys.path.insert(0, str(folder))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(folder))
