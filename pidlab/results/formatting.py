"""Numbers, parameter values and points of a sweep as text."""

from collections.abc import Mapping
from typing import Any


def format_bits(bits: Any, decimals: int = 2) -> str:
    """Return a number with a fixed number of decimals.

    Args:
        bits: A number, usually in bits.
        decimals: Digits after the point.

    Returns:
        The text; empty for NaN, and without a minus sign if the number rounds to zero.

    Example:
        >>> format_bits(-0.001), format_bits(float("nan"))
        ('0.00', '')
    """
    number = float(bits)
    if number != number:
        return ""
    text = f"{number:.{decimals}f}"
    # "-0.00" would suggest a negative value where only rounding is left.
    return text.removeprefix("-") if float(text) == 0.0 else text


def format_interval(mean: float, half_width: float, plus_minus: str = " ± ") -> str:
    """Return a mean with half the width of its confidence interval.

    Args:
        mean: Mean over seeds, in bits.
        half_width: Half the width of the interval, in bits; NaN if there is no interval.
        plus_minus: Text between the two numbers.

    Example:
        >>> format_interval(0.664, 0.27), format_interval(0.664, float("nan"))
        ('0.66 ± 0.27', '0.66')
    """
    half = format_bits(half_width)
    return f"{format_bits(mean)}{plus_minus}{half}" if half else format_bits(mean)


def format_value(value: Any) -> str:
    """Return the value of a parameter in its shortest form; empty if the parameter is not set.

    Args:
        value: A number, a string, a bool, None or NaN.

    Example:
        >>> format_value(1.0), format_value(0.25), format_value("task"), format_value(None)
        ('1', '0.25', 'task', '')
    """
    if value is None or value != value:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def format_point(point: Mapping[str, Any], separator: str = ", ") -> str:
    """Return a point of a sweep as `NAME=VALUE` pairs.

    Args:
        point: Values by parameter.
        separator: Text between two pairs.

    Example:
        >>> format_point({"unique1": 0.5, "views": "task"})
        'unique1=0.5, views=task'
    """
    return separator.join(f"{name}={format_value(value) or 'default'}" for name, value in point.items())


# Names of the built-in objectives as in their papers.
OBJECTIVE_NAMES = {
    "untrained": "untrained (floor)",
    "supervised": "supervised (ceiling)",
    "cross": "CLIP (cross)",
    "cross+self": "Cross+Self",
    "cross+self+fact": "Cross+Self+Fact",
    "simclr": "SimCLR",
    "simclr-cross": "SimCLR (cross)",
    "supcon": "SupCon",
    "comm": "CoMM",
    "comm-sup": "CoMM (supervised)",
    "factorcl-ssl": "FactorCL-SSL",
    "factorcl-sup": "FactorCL-SUP",
    "ourcl-ssl": "OurCL-SSL",
    "ourcl-sup": "OurCL-SUP",
    "infmasking": "InfMasking",
    "coral": "COrAL",
    "disentangledssl": "DisentangledSSL",
    "symile": "Symile",
    "gram": "GRAM",
    "triangle": "TRIANGLE",
    "confu": "ConFu",
    "synib": "SynIB",
    "masked": "Masked reconstruction",
    "siglip": "SigLIP",
    "vicreg": "VICReg",
    "barlow": "Barlow Twins",
    "lejepa": "LeJEPA",
}


def format_objective(reference: str, labels: Mapping[str, str] | None = None) -> str:
    """Return the name of an objective as in its paper, or the class name of a user-defined one.

    Args:
        reference: Reference of the objective, possibly with arguments.
        labels: Names that take precedence, by reference.

    Example:
        >>> format_objective("comm"), format_objective("losses/mine.py:MyLoss(weight=2)")
        ('CoMM', 'MyLoss (weight=2)')
        >>> format_objective("comm", {"comm": "Ours"})
        'Ours'
    """
    if labels and reference in labels:
        return labels[reference]
    base, parenthesis, arguments = reference.partition("(")
    name = OBJECTIVE_NAMES.get(base.strip()) or base.strip().rpartition(":")[2] or base
    return f"{name} ({arguments}" if parenthesis else name


def format_parameter(name: str) -> str:
    """Return the name of a parameter as an axis label."""
    words = {
        "depth": "layers of the rendering",
        "dim": "readout width",
        "rate": "learning rate",
        "shared": "shared features",
        "views": "view policy",
        "width": "observation width",
    }
    return words.get(name) or name.replace("_", " ")
