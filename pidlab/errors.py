"""What pidlab says when a request cannot be met."""

import difflib
from collections.abc import Iterable


class InvalidRequest(ValueError):  # noqa: N818 - it is the request that is wrong
    """A request that is wrong as asked.

    The message is one line: the value, what was expected, how to mend it. The command line prints it
    and exits with 2.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the known spelling nearest to `name`, or lists them all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
