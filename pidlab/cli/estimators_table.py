"""The table of estimators on tasks whose information is known: as Markdown, and what fails its gate."""

import pandas as pd

# The estimator that gates are for; the others are shown beside it on the same samples.
GATED = "infonce"


def estimators_markdown(table: pd.DataFrame) -> str:
    """A row per task, a column per estimator: bits and their interval, with the gate's verdict."""
    names = list(dict.fromkeys(table["estimator"]))
    lines = [
        "Mutual information of continuous variables, in bits: estimates with 95 % intervals over fresh rows",
        "(they know no bias). ✓ within the gate, ✗ not; gates are stated in nats (-.05 to +.05, of two",
        "pairs in 25 dimensions -.15 to +.05) and converted; tasks without one are reported only. The gate",
        "is `infonce`'s; `club` and `nce-club` bound from above, where their q is right, and are not meant",
        "to meet it; `cca` is exact for normal variables alone. All estimators of a task see the same samples,",
        "`ksg` uses 5,000 of them.",
        "",
        "| task | truth | gate | " + " | ".join(names) + " |",
        "| --- " * (len(names) + 3) + "|",
    ]
    for task, rows in table.groupby("task", sort=False):
        first, by_name = rows.iloc[0], rows.set_index("estimator")
        gate = "" if pd.isna(first["least"]) else f"{first['least']:+.3f} … {first['most']:+.3f}"
        cells = [_cell(by_name.loc[name]) if name in by_name.index else "" for name in names]
        lines.append(f"| {task} | {first['truth']:.3f} | {gate} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def estimators_faults(table: pd.DataFrame) -> list[str]:
    """The tasks on which the gated estimator fails, in words."""
    asked = table[(table["estimator"] == GATED) & (table["within"].astype(str) == "False")]
    return [
        f"outside its gate: {GATED} on {row['task']}: {row['estimate']:.4f} bits for {row['truth']:.4f}, "
        f"off by {row['error']:+.4f}, allowed {row['least']:+.4f} to {row['most']:+.4f}"
        for _, row in asked.iterrows()
    ]


def _cell(row: pd.Series) -> str:
    mark = {"True": " ✓", "False": " ✗"}.get(str(row["within"]), "")
    return f"{row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]{mark}"
