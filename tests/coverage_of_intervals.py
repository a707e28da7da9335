"""Coverage of the intervals of `decompose_samples`; run as a script with [N] [REPLICATES]."""

import sys

import numpy as np

from pidlab.decomposition import TERMS
from pidlab.info import decompose, gate
from pidlab.info.samples import decompose_samples


def laws():
    """Return six laws, with and without redundancy, with zero and nonzero unique information."""
    return {
        "equal copies": copies(0.2, 0.2),
        "unequal copies": copies(0.1, 0.25),
        "all terms": np.random.default_rng(7).dirichlet(np.full(27, 0.5)).reshape(3, 3, 3),
        "unique": np.einsum("a,b,ay->aby", [0.5, 0.5], [0.5, 0.5], channel(0.1)),
        "noisy xor": 0.9 * gate("xor") + 0.1 / 8,
        "and": gate("and"),
    }


def channel(flip):
    return np.array([[1 - flip, flip], [flip, 1 - flip]])


def copies(flip1, flip2):
    return 0.5 * np.einsum("ya,yb->aby", channel(flip1), channel(flip2))


def coverage(name, n, replicates, measure="broja"):
    """Return the share of intervals that contain the true value, by term."""
    law = laws()[name]
    truth = decompose(law, measure)
    expected = {**truth.terms, "total": truth.total}
    hits = dict.fromkeys(expected, 0)
    for seed in range(replicates):
        cells = np.random.default_rng(seed).choice(law.size, n, p=law.ravel())
        samples = np.stack(np.unravel_index(cells, law.shape), axis=1)
        found = decompose_samples(samples, measure, seed=seed)
        for term, value in expected.items():
            hits[term] += found.low[term] - 1e-8 <= value <= found.high[term] + 1e-8
    return {term: count / replicates for term, count in hits.items()}


if __name__ == "__main__":
    n, replicates = (int(a) for a in (*sys.argv[1:], "1000", "200")[:2])
    print(f"{'n = ' + str(n):16}", *(f"{t:>10}" for t in (*TERMS, "total")))
    for name, law in laws().items():
        truth = decompose(law)
        print(f"{name:16}", *(f"{v:10.4f}" for v in (*truth.terms.values(), truth.total)))
        print(f"{'':16}", *(f"{rate:10.3f}" for rate in coverage(name, n, replicates).values()), flush=True)
