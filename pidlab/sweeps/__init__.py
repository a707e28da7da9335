"""Sweeps: requests, their runs, and the folder of results."""

import lazy_loader

# Names are imported on first use, so that results are read without torch. The stub lists them.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
