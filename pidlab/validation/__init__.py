"""Examination of the probes and estimators on cases with a known answer."""
