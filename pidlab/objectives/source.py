"""Which files a user's own objective is made of, and their digest; nothing of them is executed."""

import hashlib
import importlib.util
from modulefinder import ModuleFinder
from pathlib import Path

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
