"""The synthetic data of FactorCL, with the information they hold."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.generators.blocks import Blocks, check_fits, uniform_matrix
from pidlab.generators.checks import check_whole

Label = Literal["linear", "nonlinear"]


@dataclass(frozen=True)
class FactorCL(Blocks):
    """FactorCL's synthetic data: shared and unique Gaussian features, a label from their mean.

    X_m = [shared, unique_m] T_m with T_m uniform on [0, 1), and Y = 1[mean of the chosen features >= 0].
    With s shared and a, b own chosen features and no noise, I(X1;Y) = 1 - E h(Phi(Z sqrt((s+a)/b))) with
    Z standard normal, I(X1,X2;Y) = 1 bit.

    By BROJA the modality of fewer chosen features has no unique information: with equal unique features
    unique1 = unique2 = 0, even where nothing is shared (10/6/6: R .463, S .537). In FactorCL's own sense
    I(X1;Y|X2) = unique1 + synergy = .537.

    Args:
        shared: features in both modalities.
        unique1: features in the first modality only.
        unique2: features in the second only.
        chosen: how many features of these blocks, in this order, the label is made of; all by default.
        width: numbers in an observation.
        label: `"linear"`, or `"nonlinear"` as released: the features times two matrices of ones before
            the mean, which scales their sum and gives the same label.
        noise: standard deviation of normal noise on every feature, in each modality on its own; a
            feature's is .71. Without it I(X1;X2) is infinite.
        classes: labels are this many bins of equal mass of the mean; 2 is the paper's.
        world: which transforms.

    Raises:
        InvalidRequest: more features than `width`, a label of none, a value out of range.

    Source: P. P. Liang et al., Factorized Contrastive Learning: Going Beyond Multi-view Redundancy,
    NeurIPS 2023, section 4.1, and the released Synthetic/dataset.py.
    """

    name: ClassVar[str] = "factorcl"

    shared: int = 10
    unique1: int = 6
    unique2: int = 6
    chosen: tuple[int, int, int] | None = None
    width: int = 100
    label: Label = "linear"

    def __post_init__(self) -> None:
        check_whole(self, shared=0, unique1=0, unique2=0, width=1)
        for m in (0, 1):
            check_fits(m, self.features[0] + self.features[1 + m], self.width)
        if self.label not in get_args(Label):
            raise InvalidRequest(f"label = {self.label!r}: expected one of {', '.join(get_args(Label))}")
        object.__setattr__(self, "chosen", self._checked_choice())
        super().__post_init__()

    def _checked_choice(self) -> tuple[int, int, int] | None:
        if self.chosen is None:
            return None
        fits = isinstance(self.chosen, (tuple, list)) and len(self.chosen) == 3
        if not fits or not all(
            k in range(have + 1) for k, have in zip(self.chosen, self.features, strict=True)
        ):
            raise InvalidRequest(
                f"chosen = {self.chosen!r}: expected three whole numbers, at most {self.features} "
                "(shared, unique1, unique2)"
            )
        shared, own1, own2 = map(int, self.chosen)
        return shared, own1, own2

    @property
    def features(self) -> tuple[int, int, int]:
        return (self.shared, self.unique1, self.unique2)

    @property
    def chosen_features(self) -> tuple[int, int, int]:
        return self.chosen or self.features

    @property
    def transforms(self) -> tuple[Float[Tensor, "d1 w1"], Float[Tensor, "d2 w2"]]:
        shared, *own = self.features
        first, second = (
            uniform_matrix(self.world, "transform", m, shared + own[m], self.width) for m in (0, 1)
        )
        return first, second
