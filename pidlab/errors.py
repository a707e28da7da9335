"""What pidlab says when a request cannot be met."""

import difflib
from collections.abc import Iterable


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
