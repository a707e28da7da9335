"""Studies: a TOML file of sweeps, figures and claims, run and checked."""
