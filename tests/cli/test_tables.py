from types import SimpleNamespace

from swept import table

from pidlab.cli.sweep import print_captured


def test_a_readout_that_no_finished_run_has_at_a_point_is_empty(tmp_path, capsys):
    rows = table(points=(0.0, 1.0), objectives=("comm",), readouts=("z1", "z12")).replace("synergy", "y")
    rows = rows[(rows["term"] == "y") & ((rows["unique1"] == 0.0) | (rows["readout"] == "z12"))]
    rows["unique2"] = 1.0
    request = SimpleNamespace(axis_groups=[("unique1",)])
    result = SimpleNamespace(shown=rows, failures={"a": "why"}, runs=6, directory=tmp_path, request=request)
    print_captured(result)
    said = capsys.readouterr().out
    assert "± half-width of the 95 % t-interval" in " ".join(said.split())
    truths = [line.split("│") for line in said.splitlines() if "truth" in line]
    assert [[cell.strip() for cell in line[3:-1]] for line in truths] == [["1.00", "1.00"], ["", "1.00"]]
