"""A generator's samples for other frameworks: arrays with their truth, and a torch data set."""

import json
from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

from pidlab.generators.base import Generator, Sample


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
