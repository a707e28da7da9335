"""How to cite pidlab: its CITATION.cff, which the wheel carries and a checkout has at its top."""

from pathlib import Path


def citation() -> str:
    """The text of CITATION.cff."""
    here = Path(__file__)
    carried = here.with_name("CITATION.cff")
    path = carried if carried.is_file() else here.parents[2] / "CITATION.cff"
    return path.read_text(encoding="utf-8") if path.is_file() else ""
