"""A row of results: bits about a variable that a probe read from a readout."""

from typing import Any

# Two-sided 95 % of a normal.
Z95 = 1.959963984540054

Row = dict[str, Any]


def row(
    readout: str,
    term: str,
    truth: float | None,
    captured: float,
    error: float,
    probe: str,
    headline: bool = True,
    converged: bool | None = None,
    quantity: str = "mi",
) -> Row:
    """A row whose interval is normal, of a standard error in bits."""
    return {
        "readout": readout,
        "term": term,
        "quantity": quantity,
        "truth": truth,
        "captured": captured,
        "low": captured - Z95 * error,
        "high": captured + Z95 * error,
        "probe": probe,
        "headline": headline,
        "converged": converged,
    }


def sees(readout: str, modalities: int) -> tuple[int, ...]:
    """The modalities that a readout is computed from: `z1` the first, `z2` the second, else all."""
    single = {f"z{i + 1}": (i,) for i in range(modalities)}
    return single.get(readout, tuple(range(modalities)))
