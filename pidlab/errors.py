"""What pidlab says when a request cannot be met."""

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

_STANDARD = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}


class InvalidRequest(ValueError):  # noqa: N818 - it is the request that is wrong
    """A request that is wrong as asked.

    The message is one line: the value, what was expected, how to mend it. The command line prints it
    and exits with 2.
    """


def nearest(name: str, known: Iterable[str], most: int = 1) -> str:
    """A hint with the up to `most` known spellings nearest to `name`, or with them all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    if not close:
        return f"known: {', '.join(names)}"
    return f"did you mean {' or '.join(map(repr, close))}?"


def reason(error: BaseException) -> str:
    """What went wrong, in a line; where it went wrong in somebody else's code, with their traceback.

    Frames of pidlab and of the libraries it stands on are left out.
    """
    line = printable(f"{type(error).__name__}: {_message(error)}".strip()).splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if _is_theirs(frame.filename)][-FRAMES:]
    if not theirs or isinstance(error, InvalidRequest):
        return line
    lines = [printable(text) for text in "".join(traceback.format_list(theirs)).rstrip().splitlines()]
    return "\n".join([line, *lines])


# Longest message that is stored and shown, in characters.
LONGEST = 500
# Frames of a traceback that are shown, the last ones.
FRAMES = 20


def printable(text: str) -> str:
    """Return a text that can be stored and printed: shortened, without NUL and without lone surrogates."""
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"
    return shown.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as other:  # an exception whose __str__ raises
        return f"(its message raises {type(other).__name__})"


def _is_theirs(filename: str) -> bool:
    path = Path(filename)
    ours = Path(__file__).parent in path.parents
    library = "site-packages" in path.parts or any(Path(base) in path.parents for base in _STANDARD)
    return not (ours or library or filename.startswith("<"))
