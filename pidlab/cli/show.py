"""How numbers are written in tables."""

from typing import Any


def bits(value: Any) -> str:
    """Six decimals, without a minus before a zero."""
    text = f"{float(value):.6f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
