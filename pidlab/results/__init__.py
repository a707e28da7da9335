"""Results of sweeps without torch: reading a folder, selecting rows, means over seeds, tables."""
