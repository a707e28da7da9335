"""How terms are written in figures and tables."""

import re

SYMBOLS = {
    "redundant": "$R$",
    "unique1": "$U_1$",
    "unique2": "$U_2$",
    "synergy": "$S$",
    "nuisance:1": "$N_1$",
    "nuisance:2": "$N_2$",
    "nuisance:shared": "$N_{12}$",
    "total:y": "$Y$",
}


def symbol_of(term: str) -> str | None:
    """How a term is written, that of more than two modalities too: `synergy13` is S_13; None for others."""
    parts = re.fullmatch(r"(redundant|unique|synergy)(\d*)", term)
    if term in SYMBOLS or parts is None:
        return SYMBOLS.get(term)
    return f"${parts[1][0].upper()}_{{{parts[2]}}}$"
