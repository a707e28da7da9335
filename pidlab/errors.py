"""Errors of invalid requests, hints and one-line reasons."""

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

_STANDARD_LIBRARY = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}


class InvalidRequest(ValueError):  # noqa: N818 - the request is invalid, not the program
    """An invalid request of the user.

    The message is one line: the value, what is wrong with it, how to fix it. The command line prints the
    message and exits with code 2.
    """


def nearest(name: str, known: Iterable[str], most: int = 1) -> str:
    """Return a hint with the known names nearest to `name`, or with all known names.

    Args:
        name: The unknown name.
        known: The known names.
        most: Largest number of names in the hint.

    Returns:
        The hint.

    Example:
        >>> nearest("syngery", ["redundant", "synergy"])
        "did you mean 'synergy'?"
        >>> nearest("q", ["redundant", "synergy"])
        'known: redundant, synergy'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    if not close:
        return f"known: {', '.join(names)}"
    return f"did you mean {' or '.join(map(repr, close))}?"


def reason(error: BaseException) -> str:
    """Describe an exception in one line, followed by the part of its traceback in the user's code.

    Frames of pidlab and of installed libraries are omitted.

    Args:
        error: The exception.

    Returns:
        The description; several lines if the user's code is in the traceback.

    Example:
        >>> reason(ValueError("bad value"))
        'ValueError: bad value'
    """
    line = printable(f"{type(error).__name__}: {_message(error)}".strip()).splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if _is_user_code(frame.filename)][-FRAMES:]
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


def _is_user_code(filename: str) -> bool:
    path = Path(filename)
    is_pidlab = Path(__file__).parent in path.parents
    is_library = "site-packages" in path.parts or any(
        Path(base) in path.parents for base in _STANDARD_LIBRARY
    )
    return not (is_pidlab or is_library or filename.startswith("<"))
