import json
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def golden_cases(name, prefix=""):
    """The cases of a golden file whose names begin with `prefix`, as pytest parameters."""
    cases = json.loads((GOLDEN / f"{name}.json").read_text())["cases"]
    return [pytest.param(c, id=c["name"]) for c in cases if c["name"].startswith(prefix)]
