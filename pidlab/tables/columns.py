"""The columns of results.csv that every sweep has; between and behind them stand terms and parameters."""

# What a row's run is.
RUN = ("run", "objective", "seed")
# What a probe read: from which readout, about which variable, in bits.
READING = (
    *("readout", "term", "quantity", "truth", "captured", "low", "high"),
    *("probe", "headline", "converged"),
)
# Where training was followed.
STEP = "step"
