"""Minibatches of a cohort, drawn in chunks of several steps."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pidlab.defaults import Training
from pidlab.encoders import rows_at_once
from pidlab.generators import Generator, Sample
from pidlab.seeds import child, torch_generator

# Rows drawn at once, fewer for large images (`rows_at_once`). Draws depend on this constant, so it must
# not depend on the cohort or on the machine.
CHUNK_ROWS = 1024


class Stream:
    """An endless sequence of minibatches, each a dict of tensors with a leading member axis.

    Chunk c of a member is drawn from the children `("data", c)` and `("views", c, v)` of its seed. Members
    with equal seeds get equal draws, which do not depend on the rest of the cohort. If `samples` is set, a
    training set of that size is drawn once and visited in random order (child `("batches", epoch)`); views
    are always new.

    Args:
        generators: Generator of each member; all have one shape key.
        seeds: Seed of each member.
        training: Views, batch size and size of the training set.
        needs: Parts of a batch that the objective reads in addition to x.
        device: Device of the tensors.
    """

    def __init__(
        self,
        generators: Sequence[Generator],
        seeds: Sequence[int],
        training: Training,
        needs: tuple[str, ...],
        device: torch.device,
    ) -> None:
        self._stack = type(generators[0]).stack(generators)
        self._seeds, self._training, self._needs, self._device = seeds, training, needs, device
        self._per_chunk = max(1, rows_at_once(generators[0].modalities, CHUNK_ROWS) // training.batch)
        self._step = 0
        self._chunk: dict[str, Any] = {}
        self._set = None
        if training.samples is not None:
            self._set = self._draw(training.samples, "data")

    def next(self) -> dict[str, Any]:
        """Return the next minibatch: `x`, and `views`, `y`, `targets` if the objective needs them."""
        place = self._step % self._per_chunk
        if place == 0:
            self._chunk = self._make_chunk(self._step // self._per_chunk)
        self._step += 1
        rows = slice(place * self._training.batch, (place + 1) * self._training.batch)
        return tree_map(lambda t: t[:, rows], self._chunk)

    @property
    def drawn(self) -> int:
        """Number of minibatches that were drawn."""
        return self._step

    def skip(self, drawn: int) -> None:
        """Continue as if a new stream had drawn this many minibatches.

        Args:
            drawn: Number of minibatches.
        """
        self._step = drawn
        if drawn % self._per_chunk:
            self._chunk = self._make_chunk(drawn // self._per_chunk)

    def _make_chunk(self, c: int) -> dict[str, Any]:
        if self._set is None:
            sample = self._draw(self._per_chunk * self._training.batch, "data", c)
        else:
            sample = self._set.take(self._order(c, self._set.x[0].shape[1]))
        chunk: dict[str, Any] = {"x": sample.x}
        # Each view has its own seed, so a single view equals the first of two.
        if views := 2 * ("views" in self._needs) or 1 * ("view" in self._needs):
            chunk["views"] = tuple(
                self._stack.view(sample, self._training.views, self._children("views", c, v)).x
                for v in range(views)
            )
        if "labels" in self._needs:
            chunk |= {"y": sample.y, "targets": sample.targets}
        if "random" in self._needs:
            rows = sample.x[0].shape[1]
            chunk["keys"] = torch.stack([self._keys(seed, rows) for seed in self._children("random", c)])
        return chunk

    def _keys(self, seed: int, rows: int) -> Tensor:
        generator = torch_generator(seed, self._device)
        return torch.randint(-(2**63), 2**63 - 1, (rows,), generator=generator, device=self._device)

    def _draw(self, n: int, *path: str | int) -> Sample:
        return self._stack.sample(n, self._children(*path), "train", self._device)

    def _order(self, c: int, n: int) -> Tensor:
        # Each batch lies within one pass over the set; the last incomplete batch of a pass is dropped.
        batch = self._training.batch
        per_pass = n // batch
        rows: dict[int, Tensor] = {}
        for seed in dict.fromkeys(self._seeds):
            parts = []
            for step in range(c * self._per_chunk, (c + 1) * self._per_chunk):
                epoch, place = divmod(step, per_pass)
                generator = torch_generator(child(seed, "batches", epoch), self._device)
                order = torch.randperm(n, generator=generator, device=self._device)
                parts.append(order[place * batch : (place + 1) * batch])
            rows[seed] = torch.cat(parts)
        return torch.stack([rows[seed] for seed in self._seeds])

    def _children(self, *path: str | int) -> list[int]:
        return [child(seed, *path) for seed in self._seeds]


def tree_map(function: Any, tree: Any) -> Any:
    """Apply a function to every tensor of nested dicts and tuples.

    Args:
        function: Maps a leaf to its replacement.
        tree: A leaf, or dicts and tuples of leaves.

    Example:
        >>> tree_map(len, {"x": ("ab", "c")})
        {'x': (2, 1)}
    """
    if isinstance(tree, dict):
        return {key: tree_map(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(tree_map(function, value) for value in tree)
    return function(tree)
