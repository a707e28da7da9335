"""Synthetic data of Liang et al. 2023."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.generators.blocks import Blocks, check_injective, uniform_matrix
from pidlab.generators.parameters import check_choice, check_whole

Setting = Literal["redundancy", "uniqueness1", "uniqueness2", "synergy", "mixed"]

# Whether the label depends on the blocks (shared, unique1, unique2).
LABEL_BLOCKS: dict[str, tuple[bool, bool, bool]] = {
    "redundancy": (True, False, False),
    "uniqueness1": (False, True, False),
    "uniqueness2": (False, False, True),
    "synergy": (False, True, True),
    "mixed": (True, True, True),
}


@dataclass(frozen=True)
class Liang2023(Blocks):
    """Gaussian blocks with separate lifts and a label cut at quantiles of the mean of chosen features.

    Distribution: X_m = [shared A, unique_m B_m] with A, B_m uniform on [0, 1), so that both modalities
    show the shared block in the same way. Y is the equal-mass bin of the mean of the chosen features of
    the setting's blocks. Truth: by quadrature, as for `Blocks`. Views: `task`, `generic`, and `noise` if
    ``noise`` is above 0.

    The names of the settings are the paper's; they do not describe the decomposition. ``synergy``, a label
    from both unique blocks, is not pure: the noiseless sign(a + b) has redundancy 0.279 and synergy 0.721
    bits by BROJA, for any number of features. ``redundancy`` and ``uniqueness`` are pure. ``mixed`` equals
    `FactorCL` with equal blocks.

    Differences from the released code, all deliberate: two bins by default instead of 32; bins at the
    quantiles of the distribution instead of those of the drawn rows; features of variance 1/2 instead of
    1.5, which cancels; ``mixed`` uses all or the first ``chosen`` features instead of random ones; no
    dropout of a fifth of the label's features, which makes all released labels noisy.

    Args:
        setting: ``"redundancy"``, ``"uniqueness1"``, ``"uniqueness2"``, ``"synergy"`` or ``"mixed"``.
        features_per_block: Number of features in each of the three blocks.
        chosen: Number of features of a block that the label depends on; all by default.
        lift: Numbers to which a block is lifted; an observation has twice as many.
        noise: Standard deviation of normal noise on every feature, in each modality separately.
        classes: Number of classes of the label.
        world: Seed of the lifts.

    Raises:
        InvalidRequest: If there are more features than ``lift``, the setting is unknown, or a value is out
            of range.

    Source:
        P. P. Liang et al., Quantifying & Modeling Multimodal Interactions: An Information Decomposition
        Framework, NeurIPS 2023, section 4.1, and the released synthetic/generate_data.py.

    Example:
        >>> {term: round(bits, 3) for term, bits in Liang2023("synergy").truth.terms.items()}
        {'redundant': 0.279, 'unique1': 0.0, 'unique2': 0.0, 'synergy': 0.721}
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
                    f"chosen = {self.chosen}: a block has {self.features_per_block} features; choose fewer"
                )
        check_choice(self, "setting", get_args(Setting))
        check_injective(0, self.features_per_block, self.lift)
        super().__post_init__()

    @property
    def features(self) -> tuple[int, int, int]:
        count = self.features_per_block
        return count, count, count

    @property
    def chosen_features(self) -> tuple[int, int, int]:
        chosen = self.features_per_block if self.chosen is None else self.chosen
        shared, unique1, unique2 = LABEL_BLOCKS[self.setting]
        return chosen * shared, chosen * unique1, chosen * unique2

    @property
    def transforms(self) -> tuple[Float[Tensor, "d1 w1"], Float[Tensor, "d2 w2"]]:
        def lifts(m: int) -> Tensor:
            # The shared lift always has index 0: it is the same matrix in both modalities.
            parts = [
                uniform_matrix(self.world, block, which, self.features_per_block, self.lift)
                for block, which in (("shared", 0), ("own", m))
            ]
            return torch.block_diag(*parts)

        return lifts(0), lifts(1)
