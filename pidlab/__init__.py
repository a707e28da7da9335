"""Exact information, benchmarks and probes for multimodal objectives, in bits."""

import lazy_loader

__version__ = "1.0.0"

# Names are imported on first use, so that `pidlab --help` and plots start without torch. The stub lists them.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
