"""Rows of a file as a generator; samples of a generator as arrays and as a torch data set."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from pidlab.decomposition import Decomposition
from pidlab.encoders import Image, Modality, Vector
from pidlab.errors import InvalidRequest
from pidlab.generators.generator import Generator, Sample, Target
from pidlab.generators.parameters import check_sample, check_whole
from pidlab.generators.read_arrays import as_features, as_labels, read_arrays
from pidlab.info import entropy
from pidlab.seeds import child, torch_generator

# Fractions of the rows for probes; the rest, half of the rows, is the training split.
PROBED = {"probe": 0.25, "validation": 0.1, "test": 0.15}
LEAST_ROWS = 100


@dataclass(frozen=True)
class Arrays(Generator):
    """Rows of a file with observations x1, x2 and labels y.

    The file is .npz, .npy, .csv, .parquet, .pt, .safetensors or .mat (see `read_arrays`). x1 and x2 have
    shape (n,), (n, d), or are images (see `as_features`). y has shape (n,) or (n, targets); it has class
    indices or other labels, or is a one-hot matrix (see `as_labels`).

    Distribution and truth are unknown: all terms and informations are NaN, with an infinite gap. Priors are
    the frequencies in the file. The only view is `generic`.

    A world divides the rows at random into four parts: ``"train"`` (half), ``"probe"``, ``"validation"`` and
    ``"test"``; ``"eval"`` is the last three. Rows are drawn from their part without replacement if it has
    enough of them, otherwise with replacement. A training set is drawn again at every step.

    Args:
        file: The file; `pidlab generate` writes .npz files.
        world: Seed of the division.

    Raises:
        InvalidRequest: If there is no such file, arrays are missing, do not fit or are not finite, or there
            are too few rows.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "rows.npz"
        >>> np.savez(file, x1=np.zeros((200, 3)), x2=np.zeros((200, 2)), y=np.arange(200) % 4)
        >>> rows = Arrays(str(file))
        >>> rows.rows("train"), rows.target_specs["y"].entropy
        (100, 2.0)
    """

    name: ClassVar[str] = "arrays"

    file: str
    world: int = 0
    # Stored results are identified by the contents, because a file can change under its name.
    contents: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.file, str):
            raise InvalidRequest(f"file = {self.file!r}: expected the name of a file")
        check_whole(self, world=0)
        digest = hashlib.sha256()
        for array in self._arrays:
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        object.__setattr__(self, "contents", digest.hexdigest()[:16])

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        path = Path(self.file)
        arrays = read_arrays(path, ("x1", "x2", "y"))
        x1, x2 = (as_features(arrays[name], f"{path}: {name}", keep_images=True) for name in ("x1", "x2"))
        lengths = {name: np.atleast_1d(array).shape[0] for name, array in arrays.items()}
        listing = ", ".join(f"{name} {length}" for name, length in lengths.items())
        if len(set(lengths.values())) > 1:
            raise InvalidRequest(f"{path}: arrays have different numbers of rows: {listing}")
        if len(x1) < LEAST_ROWS:
            raise InvalidRequest(f"{path}: {len(x1)} rows, expected {LEAST_ROWS} or more")
        return x1, x2, as_labels(arrays["y"], f"{path}: y")

    @cached_property
    def _rows(self) -> dict[str, Tensor]:
        """Row indices of every split."""
        n = len(self._arrays[2])
        order = torch.randperm(n, generator=torch_generator(child(self.world, "rows")))
        sizes = [round(n * part) for part in PROBED.values()]
        train, *parts = order.split([n - sum(sizes), *sizes])
        return {"train": train, "eval": torch.cat(parts)} | dict(zip(PROBED, parts, strict=True))

    def rows(self, split: str) -> int:
        return len(self._rows[split])

    @property
    def modalities(self) -> tuple[Modality, ...]:
        shapes = [x.shape[1:] for x in self._arrays[:2]]
        return tuple(Image(*shape) if len(shape) == 3 else Vector(*shape) for shape in shapes)

    @property
    def truth(self) -> Decomposition:
        nan = math.nan
        return Decomposition(nan, nan, nan, nan, how="unknown", gap=math.inf)

    @property
    def target_specs(self) -> dict[str, Target]:
        specs = {}
        for name, column in self._labels.items():
            prior = np.bincount(column) / len(column)
            unknown = {(0,): math.nan, (1,): math.nan, (0, 1): math.nan}
            specs[name] = Target(name, tuple(map(float, prior)), float(entropy(prior)), unknown)
        return specs

    @cached_property
    def _labels(self) -> dict[str, np.ndarray]:
        y = self._arrays[2]
        return {"y" if y.shape[1] == 1 else f"y{k}": y[:, k] for k in range(y.shape[1])}

    @property
    def shape_key(self) -> Any:
        return self.contents

    def sample(
        self, n: int, seed: int = 0, split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        check_sample(n, split, ("train", "eval", *PROBED))
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


def dataset(generator: Generator, samples: int, seed: int = 0, split: str = "train") -> TensorDataset:
    """Draw samples as a torch data set of rows (x1, x2, y) with the joint label y.

    Args:
        generator: Generator to sample.
        samples: Number of rows.
        seed: Seed of the draw; equal seeds give equal rows.
        split: ``"train"`` or ``"eval"``.

    Returns:
        The data set.

    Raises:
        InvalidRequest: If ``samples`` is below 1 or the split is unknown.

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


def export_arrays(
    generator: Generator, samples: int, seed: int = 0, split: str = "eval"
) -> dict[str, np.ndarray]:
    """Draw samples as plain arrays with their truth; `pidlab generate` writes them.

    Args:
        generator: Generator to sample.
        samples: Number of rows.
        seed: Seed of the draw.
        split: ``"train"`` or ``"eval"``.

    Returns:
        ``x1``, ``x2``, ...: observations; ``y``: class indices, shape (n,) or (n, targets), with their names
        in ``targets``; ``factors``: latents, shape (n, factors), with their names in ``factor_names``;
        ``truth``: decomposition and information of every target in bits, as JSON; ``seed``, ``split``,
        ``generator``.

    Raises:
        InvalidRequest: If ``samples`` is below 1 or the split is unknown.

    Example:
        >>> from pidlab.generators.gate import Gate
        >>> export_arrays(Gate("xor"), samples=3)["x1"].shape
        (3, 32)
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
    """Return a generator's decomposition and target specifications, ready for JSON; None where unknown."""
    targets = {
        name: {
            "prior": list(target.prior),
            "entropy": target.entropy,
            "information": _by_modalities(target.information),
        }
        | ({} if target.low is None else {"low": _by_modalities(target.low)})
        for name, target in generator.target_specs.items()
    }
    bounds = {} if generator.bounds is None else {"bounds": generator.bounds}
    record = {**generator.truth.to_dict(), **bounds, "targets": targets}
    return json.loads(json.dumps(record), parse_constant=lambda _: None)


def _by_modalities(information: Mapping[tuple[int, ...], float]) -> dict[str, float]:
    return {"".join(f"x{m + 1}" for m in key): bits for key, bits in information.items()}


def _factors(sample: Sample) -> tuple[np.ndarray, list[str]]:
    columns, names = [np.empty((len(sample.y), 0), np.float32)], []
    for name, latent in sample.latents.items():
        flat = latent.reshape(-1, latent.shape[-1]).to(torch.float32)
        columns.append(flat.mT.numpy())
        names += [f"{name}[{i}]" for i in range(len(flat))] if latent.ndim > 1 else [name]
    return np.concatenate(columns, axis=1), names
