"""Validation of the probes on cases with known answers, and estimators of continuous information."""
