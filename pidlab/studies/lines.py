"""On which line of a TOML text a key stands; `tomllib` does not say."""

import re
from collections import Counter

_TABLE = re.compile(r"\s*\[(?P<array>\[)?\s*(?P<name>[^\]]+?)\s*\]")
_KEY = re.compile(r"\s*(?P<name>(?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_MULTILINE = re.compile(r'"""|\'\'\'')

Path = tuple[str | int, ...]


def line_of(text: str, path: Path) -> int:
    """The line, from 1, of the key at `path`, or of what it stands in; keys of inline tables have its line.

    Args:
        text: valid TOML.
        path: keys and, for arrays of tables, numbers: `("sweep", 0, "axes")`.
    """
    lines = _lines(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _lines(text: str) -> dict[Path, int]:
    found: dict[Path, int] = {}
    counts: Counter[Path] = Counter()
    table: Path = ()
    quoted = False
    for number, line in enumerate(text.splitlines(), 1):
        if not quoted:
            if header := _TABLE.match(line):
                table = _header(header, counts)
                for depth in range(1, len(table) + 1):
                    found.setdefault(table[:depth], number)
            elif key := _KEY.match(line):
                found.setdefault(table + _parts(key["name"]), number)
        quoted ^= len(_MULTILINE.findall(line)) % 2 == 1
    return found


def _header(header: re.Match[str], counts: Counter[Path]) -> Path:
    path: Path = ()
    *above, last = _parts(header["name"])
    for part in above:
        path += (part,)
        if counts[path]:  # of the tables of an array so far, the last one
            path += (counts[path] - 1,)
    path += (last,)
    if header["array"]:
        counts[path] += 1
        path += (counts[path] - 1,)
    return path


def _parts(name: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
