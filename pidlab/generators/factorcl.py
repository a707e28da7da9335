"""The synthetic data of FactorCL, with the information they hold."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.base import Target, check_whole
from pidlab.generators.blocks import (
    BLOCKS,
    Blocks,
    check_fits,
    uniform_matrix,
)
from pidlab.generators.latent import one_target
from pidlab.generators.planar import (
    Network,
    planar_decomposition,
    planar_label,
    planar_network,
    planar_prior,
)

Label = Literal["linear", "nonlinear", "planar"]
CLASSES = {"linear": 2, "nonlinear": 2, "planar": 20}  # the paper's


@dataclass(frozen=True)
class FactorCL(Blocks):
    """FactorCL's synthetic data: shared and unique Gaussian features, a label from their mean.

    X_m = [shared, unique_m] T_m with T_m uniform on [0, 1), and Y = 1[mean of the chosen features >= 0].
    With s shared and a, b own chosen features and no noise, I(X1;Y) = 1 - E h(Phi(Z sqrt((s+a)/b))) with
    Z standard normal, I(X1,X2;Y) = 1 bit.

    By BROJA the modality of fewer chosen features has no unique information: with equal unique features
    unique1 = unique2 = 0, even where nothing is shared (10/6/6: R .463, S .537). In FactorCL's own sense
    I(X1;Y|X2) = unique1 + synergy = .537.

    The planar label is none of a sum: Y = argmax_c of (z + tanh(z W + b) U) H over the chosen features z,
    all numbers of W, b, U, H drawn from N(2, 1) as released. These saturate most units, so few of its 20
    classes are common; how many bits it has is a matter of `labels_seed`. It has no closed form: I(X_i;Y)
    and I(X1,X2;Y) are known to 1e-3 bits by quadrature (`pidlab.generators.planar`), BROJA is solved on 4 to
    64 cells of like p(y|x_i), until two grids agree to 1e-3 bits, and `truth.gap` is what is certain
    (`pidlab.info.broja`): .08 bits for the default features. The first time it is asked for takes a minute.

    Args:
        shared: features in both modalities.
        unique1: features in the first modality only.
        unique2: features in the second only.
        chosen: how many features of these blocks, in this order, the label is made of; all by default.
        width: numbers in an observation.
        label: `"linear"`, or `"nonlinear"` as released: the features times two matrices of ones before
            the mean, which scales their sum and gives the same label; or `"planar"`.
        noise: standard deviation of normal noise on every feature, in each modality on its own; a
            feature's is .71. Without it I(X1;X2) is infinite.
        classes: bins of equal mass of the mean, or scores of the planar label; 0 stands for the paper's, 2
            bins and 20 scores.
        labels_seed: which planar label. It is not part of a world, so that all worlds have one truth.
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
    classes: int = field(default=0, kw_only=True)
    labels_seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        check_whole(self, shared=0, unique1=0, unique2=0, width=1, classes=0, labels_seed=0)
        for m in (0, 1):
            check_fits(m, self.features[0] + self.features[1 + m], self.width)
        if self.label not in get_args(Label):
            raise InvalidRequest(f"label = {self.label!r}: expected one of {', '.join(get_args(Label))}")
        object.__setattr__(self, "chosen", self._checked_choice())
        object.__setattr__(self, "classes", self.classes or CLASSES[self.label])
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

    @property
    def truth(self) -> Decomposition:
        if self.label != "planar":
            return super().truth
        return planar_decomposition(self.labels_seed, self.chosen_features, self.classes, self.noise)

    @property
    def targets(self) -> dict[str, Target]:
        """The one target, y."""
        if self.label != "planar":
            return super().targets
        prior, _ = planar_prior(self.labels_seed, sum(self.chosen_features), self.classes)
        return {"y": one_target(self.truth, prior)}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.label != "planar":
            return super().labels(latents)
        chosen = [latents[b][:k] for b, k in zip(BLOCKS, self.chosen_features, strict=True)]
        return {"y": planar_label(torch.cat(chosen), self._network)}

    @cached_property
    def _network(self) -> Network:
        return planar_network(self.labels_seed, sum(self.chosen_features), self.classes)
