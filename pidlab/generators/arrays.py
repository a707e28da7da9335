"""A generator's samples for other frameworks: arrays with their truth, and a torch data set."""

import hashlib
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from pidlab.decomposition import Decomposition
from pidlab.encoders import Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.base import (
    Generator,
    Sample,
    Target,
    ViewInformation,
    check_policy,
    check_sample,
    check_whole,
)
from pidlab.generators.latent import corrupted
from pidlab.info import entropy
from pidlab.seeds import child, torch_generator

# How the rows are divided: half to train on, the other half to examine with.
EXAMINED = {"probe": 0.25, "validation": 0.1, "test": 0.15}
LEAST_ROWS = 100


@dataclass(frozen=True)
class Arrays(Generator):
    """The rows of an .npz file with x1 (n, d1), x2 (n, d2) and integers y (n,) or (n, targets).

    Nobody knows the law of such rows, so there is no truth: terms and informations are NaN, with an
    infinite gap. Priors are the frequencies in the file. A world divides the rows at random into four
    parts, to train on (half), to fit probes on, to choose and to score with; `"eval"` is the last three.
    Rows are drawn from their part without replacement where it has enough of them, and a training set is
    drawn from it again and again.

    Args:
        file: the .npz file; `pidlab generate` writes such files.
        world: which division.

    Raises:
        InvalidRequest: no such file, arrays that are missing, do not fit or are not finite, too few rows.
    """

    name: ClassVar[str] = "arrays"
    policies: ClassVar[tuple[str, ...]] = ("generic",)

    file: str
    world: int = 0
    # A file can change under its name; results are kept by what was in it.
    contents: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.file, str):
            raise InvalidRequest(f"file = {self.file!r}: expected the name of an .npz file")
        check_whole(self, world=0)
        digest = hashlib.sha256()
        for array in self._arrays:
            digest.update(repr(array.shape).encode() + array.tobytes())
        object.__setattr__(self, "contents", digest.hexdigest()[:16])

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return read_arrays(Path(self.file))

    @cached_property
    def _rows(self) -> dict[str, Tensor]:
        """The rows of every part."""
        n = len(self._arrays[2])
        order = torch.randperm(n, generator=torch_generator(child(self.world, "rows")))
        sizes = [round(n * part) for part in EXAMINED.values()]
        train, *parts = order.split([n - sum(sizes), *sizes])
        return {"train": train, "eval": torch.cat(parts)} | dict(zip(EXAMINED, parts, strict=True))

    def rows(self, split: str) -> int:
        return len(self._rows[split])

    @property
    def modalities(self) -> tuple[Vector, Vector]:
        return (Vector(self._arrays[0].shape[1]), Vector(self._arrays[1].shape[1]))

    @property
    def truth(self) -> Decomposition:
        """Not known: NaN throughout."""
        nan = math.nan
        return Decomposition(nan, nan, nan, nan, how="unknown", gap=math.inf)

    @property
    def targets(self) -> dict[str, Target]:
        """The columns of y."""
        found = {}
        for name, column in self._labels.items():
            prior = np.bincount(column) / len(column)
            unknown = {(0,): math.nan, (1,): math.nan, (0, 1): math.nan}
            found[name] = Target(name, tuple(map(float, prior)), float(entropy(prior)), unknown)
        return found

    @cached_property
    def _labels(self) -> dict[str, np.ndarray]:
        y = self._arrays[2]
        return {"y" if y.shape[1] == 1 else f"y{k}": y[:, k] for k in range(y.shape[1])}

    @property
    def shape_key(self) -> Any:
        return self.contents

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Not known."""
        check_policy(self, policy)
        return {name: ViewInformation(None, None) for name in self._labels}

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        """Draws `n` rows of a split, each once where there are as many.

        Raises:
            InvalidRequest: fewer than one sample, or an unknown split.
        """
        check_sample(n, split, ("train", "eval", *EXAMINED))
        part, generator = self._rows[split], torch_generator(child(seed, "rows"))
        if n <= len(part):
            place = torch.randperm(len(part), generator=generator)[:n]
        else:
            place = torch.randint(len(part), (n,), generator=generator)
        chosen = part[place].numpy()
        x1, x2, _ = self._arrays
        return Sample(
            tuple(torch.as_tensor(x[chosen]).to(device) for x in (x1, x2)),
            {name: torch.as_tensor(y[chosen]).to(device) for name, y in self._labels.items()},
            {name: int(y.max()) + 1 for name, y in self._labels.items()},
        )

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        """Draws a `generic` view of every row.

        Raises:
            InvalidRequest: another policy.
        """
        check_policy(self, policy)
        return corrupted(sample, seed)


def read_arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x1, x2 as float32 (n, d) and y as int64 (n, targets).

    Raises:
        InvalidRequest: see `Arrays`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in ("x1", "x2", "y") if name in file}
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror or 'not an .npz file'}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError):
        raise InvalidRequest(f"cannot read {path}: expected an .npz file of plain numbers") from None
    for name in ("x1", "x2", "y"):
        if name not in held:
            raise InvalidRequest(f"{path} has no array {name!r}: expected x1, x2 and y")
    x1, x2, y = held["x1"], held["x2"], held["y"]
    for name, x in (("x1", x1), ("x2", x2)):
        if x.ndim != 2 or x.dtype.kind not in "biuf" or 0 in x.shape:
            raise InvalidRequest(f"{path}: {name} is {_what(x)}, expected numbers of shape (rows, columns)")
        if not np.isfinite(x).all():
            raise InvalidRequest(f"{path}: {name} has values that are not finite")
    if y.ndim not in (1, 2) or y.dtype.kind not in "biu" or 0 in y.shape or (y < 0).any():
        raise InvalidRequest(
            f"{path}: y is {_what(y)}, expected whole numbers from 0, (rows,) or (rows, targets)"
        )
    check_lengths(path, {"x1": len(x1), "x2": len(x2), "y": len(y)})
    y = y.astype(np.int64)
    return x1.astype(np.float32), x2.astype(np.float32), y[:, None] if y.ndim == 1 else y


def check_lengths(path: Path, lengths: dict[str, int]) -> None:
    """Checks that arrays have equally many rows, and enough of them.

    Raises:
        InvalidRequest: they do not.
    """
    said = ", ".join(f"{name} {length}" for name, length in lengths.items())
    rows: Sequence[int] = list(lengths.values())
    if len(set(rows)) > 1:
        raise InvalidRequest(f"{path}: arrays have different numbers of rows: {said}")
    if rows[0] < LEAST_ROWS:
        raise InvalidRequest(f"{path}: {rows[0]} rows, expected {LEAST_ROWS} or more")


def _what(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"


def dataset(generator: Generator, samples: int, seed: int = 0, split: str = "train") -> TensorDataset:
    """A torch data set of `samples` rows (x1, x2, y), y the joint label; the same seed, the same rows.

    Args:
        generator: what to draw from.
        samples: how many rows.
        seed: of the draw.
        split: law to draw from, `"train"` or `"eval"`.

    Raises:
        InvalidRequest: fewer than one sample, or an unknown split.

    Example:
        >>> import pidlab
        >>> from torch.utils.data import DataLoader
        >>> data = pidlab.dataset(pidlab.load_generator("factorcl"), samples=256)
        >>> x1, x2, y = next(iter(DataLoader(data, batch_size=32)))
        >>> tuple(x1.shape)
        (32, 100)
    """
    sample = generator.sample(samples, seed, split)
    return TensorDataset(*sample.x, sample.y)


def arrays(generator: Generator, samples: int, seed: int = 0, split: str = "eval") -> dict[str, np.ndarray]:
    """What `pidlab generate` writes: plain arrays without a pickle.

    Returns:
        x1, x2, ...: the observations; `y`: class numbers, (n,) or (n, targets), with `targets` their
        names; `factors`: what the rows are made of, (n, factors), with `factor_names`; `truth`: the
        decomposition and every target's information in bits as JSON; `seed`, `split`, `generator`.
    """
    sample = generator.sample(samples, seed, split)
    factors, names = _factors(sample)
    y = np.stack([t.numpy() for t in sample.targets.values()], axis=1)
    return {
        **{f"x{m + 1}": x.numpy() for m, x in enumerate(sample.x)},
        "y": y[:, 0] if y.shape[1] == 1 else y,
        "targets": np.array(list(sample.targets)),
        "factors": factors,
        "factor_names": np.array(names, dtype=np.str_),
        "truth": np.array(json.dumps(truth_of(generator))),
        "seed": np.array(seed),
        "split": np.array(split),
        "generator": np.array(repr(generator)),
    }


def truth_of(generator: Generator) -> dict[str, Any]:
    """A generator's truth, JSON-ready: the decomposition, and what the targets hold; null where unknown."""
    targets = {
        name: {
            "prior": list(target.prior),
            "entropy": target.entropy,
            "information": {
                "".join(f"x{m + 1}" for m in key): bits for key, bits in target.information.items()
            },
        }
        for name, target in generator.targets.items()
    }
    found = {**generator.truth.to_dict(), "targets": targets}
    return json.loads(json.dumps(found), parse_constant=lambda _: None)


def _factors(sample: Sample) -> tuple[np.ndarray, list[str]]:
    columns, names = [np.empty((len(sample.y), 0), np.float32)], []
    for name, latent in sample.latents.items():
        flat = latent.reshape(-1, latent.shape[-1]).to(torch.float32)
        columns.append(flat.mT.numpy())
        names += [f"{name}[{i}]" for i in range(len(flat))] if latent.ndim > 1 else [name]
    return np.concatenate(columns, axis=1), names
