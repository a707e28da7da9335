"""Errors of invalid requests, hints and one-line reasons."""

import difflib
import inspect
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# Longest message of an exception in a report.
MOST_CHARACTERS = 1000
# Last frames of the user's code that are shown.
MOST_FRAMES = 20

_STANDARD_LIBRARY = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}


class InvalidRequest(ValueError):  # noqa: N818 - the request is invalid, not the program
    """An invalid request of the user.

    The message is one line: the value, what is wrong with it, how to fix it. The command line prints the
    message and exits with code 2.
    """


# Other usual names of settings and parameters.
_SYNONYMS = {
    "lr": "rate",
    "learning_rate": "rate",
    "batch_size": "batch",
    "batchsize": "batch",
    "bs": "batch",
    "epochs": "steps",
    "iterations": "steps",
    "n_steps": "steps",
    "hidden_dim": "hidden",
    "embedding_dim": "dim",
    "latent_dim": "dim",
    "n_layers": "layers",
    "num_layers": "layers",
    "n_samples": "samples",
    "tau": "temperature",
    "temp": "temperature",
    "clip": "cross",
    "infonce": "cross",
    "views_policy": "views",
    "augmentation": "views",
}


def nearest(name: str, known: Iterable[str], most: int = 1, listed: str = "known") -> str:
    """Return a hint with the known names nearest to `name`, or with all known names.

    Case, hyphens and underscores are ignored, and usual synonyms such as ``lr`` are recognized.

    Args:
        name: The unknown name.
        known: The known names.
        most: Largest number of names in the hint.
        listed: What the known names are, for the list of all of them.

    Returns:
        The hint.

    Example:
        >>> nearest("syngery", ["redundant", "synergy"])
        "did you mean 'synergy'?"
        >>> nearest("lr", ["layers", "rate"])
        "did you mean 'rate'?"
        >>> nearest("q", ["redundant", "synergy"])
        'known: redundant, synergy'
    """
    names = sorted(known)
    plain = {_plain(known_name): known_name for known_name in names}
    synonym = _SYNONYMS.get(name.lower())
    if synonym in names:
        close = [synonym]
    elif _plain(name) in plain:
        close = [plain[_plain(name)]]
    else:
        # A lower cutoff suggests 'rate' for 'temperature'. Very long names would take quadratic time.
        candidates = {known_name: known_name for known_name in names}
        candidates = {other: target for other, target in _SYNONYMS.items() if target in names} | candidates
        matches = difflib.get_close_matches(name[:100], candidates, n=most, cutoff=0.6)
        close = sorted({candidates[match] for match in matches})
    if not close:
        return f"{listed}: {', '.join(names)}"
    return f"did you mean {' or '.join(map(repr, close))}?"


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def check_keywords(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Require that a function has all keywords of a call.

    Args:
        function: Name of the function or class, for the message.
        given: Keywords of the call.
        known: Keywords of the function.

    Raises:
        InvalidRequest: If a keyword is unknown; the message suggests the nearest two.

    Example:
        >>> check_keywords("sweep", ["objective"], ["objectives", "seeds"])
        Traceback (most recent call last):
        pidlab.errors.InvalidRequest: sweep has no keyword 'objective': did you mean 'objectives'?
    """
    names = set(known)
    for name in given:
        if name not in names:
            raise InvalidRequest(f"{function} has no keyword {name!r}: {nearest(name, names, most=2)}")


def suggest_keywords(target: F) -> F:
    """Decorate a function or a class so that a call with an unknown keyword raises `InvalidRequest`.

    Args:
        target: Function without open-ended keywords, or a class with such a constructor.

    Returns:
        The function in a wrapper of the same signature, or the class with its constructor in one.
    """
    is_class = inspect.isclass(target)
    function: Any = getattr(target, "__init__") if is_class else target  # noqa: B009 - for the type checker
    known = frozenset(inspect.signature(function).parameters)

    @wraps(function)
    def checked(*args: Any, **keywords: Any) -> Any:
        check_keywords(target.__name__, keywords, known)
        return function(*args, **keywords)

    if not is_class:
        return checked  # type: ignore[return-value]
    setattr(target, "__init__", checked)  # noqa: B010 - a type checker refuses the assignment
    return target  # type: ignore[return-value]


def printable(text: str) -> str:
    r"""Escape characters that a terminal cannot show or would interpret, and line breaks.

    Example:
        >>> printable("a\x1b[31m")
        'a\\x1b[31m'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shorten(value: object, most: int = 80) -> str:
    """Return the text of a value for a message, with the middle of a long text omitted.

    Example:
        >>> shorten("a" * 200, most=11)
        'aaaa...aaaa'
    """
    text = str(value)
    if len(text) <= most:
        return text
    part = (most - 3) // 2
    return f"{text[:part]}...{text[-part:]}"


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
    line = shorten(
        _encodable(f"{type(error).__name__}: {message_of(error)}").strip().splitlines()[0], MOST_CHARACTERS
    )
    frames = traceback.extract_tb(error.__traceback__)
    # Infinite recursion gives a thousand frames.
    user_frames = [frame for frame in frames if _is_user_code(frame.filename)][-MOST_FRAMES:]
    if not user_frames or isinstance(error, InvalidRequest):
        return line
    lines = "".join(traceback.format_list(user_frames)).rstrip().splitlines()
    return "\n".join([line, *(shorten(_encodable(text), MOST_CHARACTERS) for text in lines)])


def message_of(error: BaseException) -> str:
    """Return the message of an exception, also of one whose `__str__` raises."""
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be read)"


def _encodable(text: str) -> str:
    """Escape lone surrogates and NUL, which can be neither printed nor stored."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _is_user_code(filename: str) -> bool:
    path = Path(filename)
    is_pidlab = Path(__file__).parent in path.parents
    is_library = "site-packages" in path.parts or any(
        Path(base) in path.parents for base in _STANDARD_LIBRARY
    )
    return not (is_pidlab or is_library or filename.startswith("<"))
