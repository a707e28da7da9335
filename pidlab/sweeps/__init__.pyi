from .checkpoint_files import load_run as load_run
from .request import Axis as Axis
from .request import Request as Request
from .run import SweepResult as SweepResult
from .run import run_sweep as run_sweep
