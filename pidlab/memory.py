"""Memory: what is freed is kept, for fresh pages cost more than the arithmetic in between."""

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 2**31 - 1


@cache
def keep_freed_memory() -> None:
    """Tells glibc to reuse large blocks instead of giving them back to the system at each free.

    A training step frees and allocates the same blocks hundreds of times a minute; with the default
    thresholds each one is mapped and zeroed anew. Does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _KEEP)
    mallopt(_M_TRIM_THRESHOLD, _KEEP)
