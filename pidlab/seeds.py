"""Randomness: every draw comes from a named child of the run's seed, so that children never mix.

A child is `SeedSequence(seed, spawn_key=...)` (numpy), reduced to one integer that seeds a
`torch.Generator`. Names are hashed, so adding one changes no other.
"""

import random
import zlib
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch


def child(seed: int, *path: str | int) -> int:
    """The 63-bit integer seed of the child of `seed` at `path`, such as `("data", 3)`."""
    key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path)
    (state,) = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)
    return int(state >> np.uint64(1))


def torch_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator on `device`, seeded with `seed`."""
    return torch.Generator(device=device).manual_seed(seed)


@contextmanager
def temporary_seed(
    seed: int, device: torch.device | str = "cpu", *, everywhere: bool = False
) -> Generator[None]:
    """The global generators, seeded for the length of the block and put back afterwards.

    For code that can draw from nowhere else: modules that initialise themselves, dropout.
    """
    accelerated = torch.device(device).type == "cuda"
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if accelerated else []):
        torch.default_generator.manual_seed(seed)
        if accelerated:
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
