"""Where studies are: ./studies first, then those that came with the package."""

from pathlib import Path

from pidlab.errors import InvalidRequest, nearest

_PACKAGE = Path(__file__).parent


def folders() -> list[Path]:
    """Folders that may hold studies, the first one found counts."""
    shipped = _PACKAGE / "shipped"  # in an installed package; a checkout has them at its top
    return [Path("studies"), shipped, _PACKAGE.parents[1] / "studies"]


def studies() -> dict[str, Path]:
    """Every study that can be named, by its name."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find(name: str) -> Path:
    """The file of a study that is named or given as a path.

    Raises:
        InvalidRequest: there is none.
    """
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise InvalidRequest(f"no study {name}: expected a .toml file")
        return Path(name)
    known = studies()
    if name not in known:
        hint = nearest(name, known) if known else "there is none in ./studies; give a path to a .toml file"
        raise InvalidRequest(f"unknown study {name!r}: {hint}")
    return known[name]
