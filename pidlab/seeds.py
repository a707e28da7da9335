"""Named streams of randomness, derived from the seed of a run.

Every draw uses a child of the run's seed: `SeedSequence(seed, spawn_key=...)` (numpy), reduced to one
integer that seeds a `torch.Generator`. Names are hashed, so that a new name changes no other stream.
"""

import random
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from numbers import Integral

import numpy as np
import torch

from pidlab.errors import InvalidRequest


def child(seed: int, *path: str | int) -> int:
    """Derive the seed of a child.

    Args:
        seed: Seed of the parent.
        *path: Names or numbers of the child, such as ``"data", 3``.

    Returns:
        A 63-bit integer.

    Raises:
        InvalidRequest: If the seed is not a whole number of at least 0.

    Example:
        >>> child(0, "data", 3)
        2431150562229390269
    """
    if not isinstance(seed, Integral) or seed < 0:
        raise InvalidRequest(f"seed {seed!r}: expected a whole number, 0 or more")
    key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path)
    (state,) = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)
    # torch takes signed 64-bit seeds.
    return int(state >> np.uint64(1))


def torch_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new torch generator.

    Args:
        seed: Its seed.
        device: Its device.

    Returns:
        The generator.

    Example:
        >>> torch.rand(1, generator=torch_generator(0))
        tensor([0.4963])
    """
    return torch.Generator(device=device).manual_seed(seed)


@contextmanager
def temporary_seed(
    seed: int, device: torch.device | str = "cpu", *, everywhere: bool = False
) -> Generator[None]:
    """Seed torch's global generators inside the block and restore their states afterwards.

    It serves code that draws only from the global generators: initialization of modules, dropout.

    Args:
        seed: Seed inside the block.
        device: A CUDA device also seeds and restores the generators of all CUDA devices.
        everywhere: Whether to seed and restore the global generators of numpy and Python, too.

    Example:
        >>> with temporary_seed(0):
        ...     torch.rand(1)
        tensor([0.4963])
    """
    is_cuda = torch.device(device).type == "cuda"
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if is_cuda else []):
        torch.default_generator.manual_seed(seed)
        if is_cuda:
            torch.cuda.manual_seed_all(seed)
        if not everywhere:
            yield
            return
        numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
        np.random.seed(seed % 2**32)  # noqa: NPY002 - user code may draw from numpy's global generator
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
