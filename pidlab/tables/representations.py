"""What the oracle experiment calls the representations that it compares, in the order of its figure."""

# Symbols that an oracle tells; what a warm start begins with.
REPRESENTATIONS = ("S", "R", "R+U", "R+U+S", "R+U+S+nuisance")
WHOLE = "R+U+S"
OWN_FUSION, SCRATCH, WARM, TRAINED = f"{WHOLE}, own fusion", "scratch", "warm", "warm, trained"
# Those whose networks were fitted.
FITTED = (SCRATCH, WARM, TRAINED)
