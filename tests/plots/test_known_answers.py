"""The figure of the examination of the probes."""

import pandas as pd

from pidlab.plots.known_answers import known_answers_figure


def test_all_headlines_and_all_coverage_rates_are_drawn():
    rows = [
        ("quick", term, truth, truth - 0.05, probe == "mlp")
        for term in ("redundant", "synergy")
        for truth in (0.0, 0.5)
        for probe in ("linear", "mlp")
    ]
    table = pd.DataFrame(rows, columns=["level", "term", "truth", "captured", "headline"])
    table["low"], table["high"] = table["captured"] - 0.03, table["captured"] + 0.01
    coverage = pd.DataFrame({"probe": ["exact posterior", "linear", "linear"], "coverage": [0.95, 0.1, 0.2]})
    figure, shown = known_answers_figure(table, coverage=coverage)
    errors, rates = figure.axes
    assert shown["panel"].tolist() == ["errors"] * 4 + ["coverage"] * 3
    drawn = [point for c in errors.containers for point in c.lines[0].get_ydata()]
    assert len(drawn) == 4
    assert all(abs(y + 0.05) < 1e-9 for y in drawn)
    bars = [bar for c in errors.containers for bar in c.lines[2][0].get_segments()]
    assert all(abs(low + 0.08) < 1e-9 and abs(high + 0.04) < 1e-9 for (_, low), (_, high) in bars)
    assert sum(len(c.get_offsets()) for c in rates.collections) == 3
