"""The synthetic data of Liang et al. 2023, with the information they hold."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.generators.base import check_whole
from pidlab.generators.blocks import Blocks, check_fits, uniform_matrix

Setting = Literal["redundancy", "uniqueness1", "uniqueness2", "synergy", "mixed"]

# The blocks (shared, unique1, unique2) that the label is made of.
MADE_OF: dict[str, tuple[bool, bool, bool]] = {
    "redundancy": (True, False, False),
    "uniqueness1": (False, True, False),
    "uniqueness2": (False, False, True),
    "synergy": (False, True, True),
    "mixed": (True, True, True),
}


@dataclass(frozen=True)
class Liang2023(Blocks):
    """Gaussian blocks, each lifted on its own, and a label cut at quantiles of the mean of some.

    X_m = [shared A, unique_m B_m] with A, B_m uniform on [0, 1): a block has one lift, so that both
    modalities show the shared one alike. Y is the bin of equal mass that the mean of the chosen features of
    the setting's blocks falls into.

    What the settings are called is not what they hold: `synergy`, a label from both unique blocks, is
    not pure. Noiseless sign(a + b) has redundant .279 and synergy .721 by BROJA, however many features
    each block has; `redundancy` and `uniqueness` are pure, `mixed` is factorcl's with equal blocks.

    On purpose otherwise than released: two bins by default instead of 32, cut at the quantiles of the law
    instead of those of the rows drawn; features of variance 1/2 instead of 1.5, which cancels; `mixed` takes
    all or `chosen` features instead of random ones; and none is dropped. The released code passes the label's
    features through a dropout of a fifth of them, so that its labels are noisy, its `redundancy` too.

    Args:
        setting: redundancy, uniqueness1, uniqueness2, synergy or mixed.
        features_per_block: in each of the three blocks.
        chosen: how many of a block's features the label is made of; all by default.
        lift: numbers that a block is lifted to; an observation has twice as many.
        noise: standard deviation of normal noise on every feature, in each modality on its own.
        classes: bins of the label.
        world: which lifts.

    Raises:
        InvalidRequest: more features than `lift`, a value out of range, an unknown setting.

    Source: P. P. Liang et al., Quantifying & Modeling Multimodal Interactions: An Information
    Decomposition Framework, NeurIPS 2023, section 4.1, and the released synthetic/generate_data.py.
    """

    name: ClassVar[str] = "liang2023"

    setting: Setting = "synergy"
    features_per_block: int = 5
    chosen: int | None = None
    lift: int = 32

    def __post_init__(self) -> None:
        check_whole(self, features_per_block=1, lift=1)
        if self.chosen is not None:
            check_whole(self, chosen=0)
            if self.chosen > self.features_per_block:
                raise InvalidRequest(
                    f"chosen = {self.chosen}: a block has {self.features_per_block} features"
                )
        if self.setting not in get_args(Setting):
            raise InvalidRequest(
                f"setting = {self.setting!r}: expected one of {', '.join(get_args(Setting))}"
            )
        check_fits(0, self.features_per_block, self.lift)
        super().__post_init__()

    @property
    def features(self) -> tuple[int, int, int]:
        count = self.features_per_block
        return count, count, count

    @property
    def chosen_features(self) -> tuple[int, int, int]:
        chosen = self.features_per_block if self.chosen is None else self.chosen
        shared, own1, own2 = MADE_OF[self.setting]
        return chosen * shared, chosen * own1, chosen * own2

    @property
    def transforms(self) -> tuple[Float[Tensor, "d1 w1"], Float[Tensor, "d2 w2"]]:
        def lifts(m: int) -> Tensor:
            parts = [
                uniform_matrix(self.world, block, which, self.features_per_block, self.lift)
                for block, which in (("shared", 0), ("own", m))
            ]
            return torch.block_diag(*parts)

        return lifts(0), lifts(1)
