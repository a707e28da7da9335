"""The objective of the tutorial fulfills the contract."""

from pathlib import Path

from pidlab import load_objective
from pidlab.check import contract

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "figures" / "tutorial" / "my_loss.py"


def test_tutorial_objective_fulfills_contract():
    found = list(contract(load_objective(f"{TUTORIAL}:MyLoss(temperature=0.2)")))
    assert len(found) == 10
    assert all(finding.ok and not finding.why for finding in found)
