"""The tutorial's objective is the one that README shows, and it is sound."""

from pathlib import Path

from pidlab import load_objective
from pidlab.check import contract

ROOT = Path(__file__).parent.parent
OWN = ROOT / "figures" / "tutorial" / "my_loss.py"


def test_readme_shows_the_file():
    assert OWN.read_text() in (ROOT / "README.md").read_text()


def test_it_keeps_the_contract():
    found = list(contract(load_objective(f"{OWN}:MyLoss(temperature=0.2)")))
    assert len(found) == 10
    assert all(finding.ok and not finding.why for finding in found)
