"""One thread for everything that is computed, so that results do not depend on the machine."""

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Generator[None]:
    """Limit torch to one thread in a block or, as a decorator, in a function.

    The order of a sum depends on the number of threads, and with it the rounding. Processes use the other
    cores (`pidlab.workers`).

    Example:
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
