"""What pidlab says when a request cannot be met."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path

_LIBRARIES = ("torch", "numpy")


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

    Frames of pidlab, and those of torch that lead from it into that code, are left out.
    """
    line = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    theirs = next((i for i, frame in enumerate(frames) if _is_theirs(frame.filename)), None)
    if theirs is None or isinstance(error, InvalidRequest):
        return line
    own = [frame for frame in frames[theirs:] if not _is_ours(frame.filename)]
    return "\n".join([line, *"".join(traceback.format_list(own)).rstrip().splitlines()])


def _is_ours(filename: str) -> bool:
    return Path(__file__).parent in Path(filename).parents


def _is_theirs(filename: str) -> bool:
    library = any(part in _LIBRARIES for part in Path(filename).parts) or filename.startswith("<")
    return not library and not _is_ours(filename) and Path(filename).name != "contextlib.py"
