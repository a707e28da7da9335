from .api import Results as Results
from .api import load_results as load_results
from .api import sweep as sweep
from .decomposition import Decomposition as Decomposition
from .errors import InvalidRequest as InvalidRequest
from .generators import Atoms as Atoms
from .generators import dataset as dataset
from .generators import load_generator as load_generator
from .info import decompose as decompose
from .objectives import Batch as Batch
from .objectives import Phase as Phase
from .objectives import load_objective as load_objective
from .probes import capture as capture
from .probes.cross_fit import estimate as estimate
from .results.leaderboard import leaderboard as leaderboard
from .results.stored import study_results as study_results
from .studies.oracle import oracle as oracle
from .sweeps import load_run as load_run
from .training import fit as fit

__version__: str
