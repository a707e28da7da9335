"""A row of results: bits about a variable that a probe read from a readout."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def row(
    readout: str,
    term: str,
    truth: float | None,
    score: Sequence[float],
    probe: str,
    headline: bool = True,
    converged: bool | None = None,
    quantity: str = "mi",
) -> Row:
    """A row with a score and the bounds of its interval, in bits (`pidlab.analysis.interval`)."""
    captured, low, high = score
    return {
        "readout": readout,
        "term": term,
        "quantity": quantity,
        "truth": truth,
        "captured": captured,
        "low": low,
        "high": high,
        "probe": probe,
        "headline": headline,
        "converged": converged,
    }


def sees(readout: str, modalities: int) -> tuple[int, ...]:
    """The modalities that a readout is computed from: `z1` the first, `z2` the second, else all."""
    single = {f"z{i + 1}": (i,) for i in range(modalities)}
    return single.get(readout, tuple(range(modalities)))
