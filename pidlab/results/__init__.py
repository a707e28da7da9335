"""Results of sweeps: read from a folder, selected, averaged over seeds, written as tables. No torch."""
