from types import SimpleNamespace

from swept import table

from pidlab.cli.progress import print_captured
from pidlab.sweeps.request import Axis


def test_a_readout_without_a_sound_run_at_a_point_is_left_empty(tmp_path, capsys):
    rows = table(points=(0.0, 1.0), objectives=("comm",), readouts=("z1", "z12")).replace("synergy", "y")
    rows = rows[(rows["term"] == "y") & ((rows["unique1"] == 0.0) | (rows["readout"] == "z12"))]
    axes = [Axis(("unique1",), (0.0, 1.0))]
    request = SimpleNamespace(varied=axes, columns={"unique1": "unique1"})
    result = SimpleNamespace(shown=rows, failures={"a": "why"}, runs=6, directory=tmp_path)
    print_captured(result, request)
    said = capsys.readouterr().out
    truths = [line.split("│") for line in said.splitlines() if "truth" in line]
    assert [[cell.strip() for cell in line[3:-1]] for line in truths] == [["1.00", "1.00"], ["", "1.00"]]
