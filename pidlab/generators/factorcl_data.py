"""Synthetic data of FactorCL."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.decomposition import Decomposition
from pidlab.errors import InvalidRequest
from pidlab.generators.blocks import VARIANCE, Blocks, check_injective, uniform_matrix
from pidlab.generators.generator import Sample, Target, ViewInformation, target_from_truth
from pidlab.generators.latent import (
    CHOICES,
    INDEPENDENT_DROP,
    INDEPENDENT_NOISE,
    draw_independent,
    independent_view,
)
from pidlab.generators.parameters import check_choice, check_whole
from pidlab.generators.planar import (
    Network,
    planar_decomposition,
    planar_label,
    planar_network,
    planar_prior,
)
from pidlab.info.gaussian_decomposition import quantized_information
from pidlab.seeds import child, torch_generator

Label = Literal["linear", "nonlinear", "planar"]
CLASSES = {"linear": 2, "nonlinear": 2, "planar": 20}  # as in the paper


@dataclass(frozen=True)
class FactorCL(Blocks):
    """Synthetic data of FactorCL: shared and unique Gaussian features and a label from their mean.

    Distribution: X_m = [shared, unique_m] T_m with features from N(0, 1/2) and T_m uniform on [0, 1);
    Y = 1[mean of the chosen features >= 0]. Views: `task`, `independent` (see `view_information`),
    `generic`, and `noise` if ``noise`` is above 0.

    Truth, by quadrature. With s shared and a, b unique chosen features and without noise,

        I(X1;Y) = 1 - E h(Phi(Z sqrt((s + a) / b))) with Z standard normal,   I(X1,X2;Y) = 1 bit.

    By BROJA the modality with fewer chosen features has no unique information. With equal numbers of unique
    features unique1 = unique2 = 0, even if nothing is shared (10/6/6: R 0.463, S 0.537). In the sense of
    the FactorCL paper, I(X1;Y|X2) = unique1 + synergy = 0.537.

    The planar label is Y = argmax_c of (z + tanh(z W + b) U) H over the chosen features z, with all entries
    of W, b, U, H from N(2, 1) as in the released code. They saturate most units, so only few of its 20
    classes are common, and its entropy depends on ``labels_seed``. Its truth has no closed form: I(X_i;Y)
    and I(X1,X2;Y) are known to 0.001 bits by quadrature (`pidlab.generators.planar`). BROJA is solved on 4
    to 64 cells of similar p(y|x_i), until two grids agree to 0.001 bits. `truth.gap` is the certified error:
    0.08 bits for the default features. The first computation takes a minute.

    Args:
        shared: Number of features in both modalities.
        unique1: Number of features in the first modality only.
        unique2: Number of features in the second modality only.
        chosen: Number of features of the blocks shared, unique1, unique2 that the label depends on; all
            by default.
        width: Numbers in an observation.
        label: ``"linear"``; ``"nonlinear"`` as released, which multiplies the features by two matrices of
            ones before the mean and therefore gives the same label; or ``"planar"``.
        noise: Standard deviation of normal noise on every feature, in each modality separately; a
            feature's is 0.71. If it is 0, I(X1;X2) is infinite.
        classes: Equal-mass bins of the mean, or scores of the planar label; 0 selects the paper's 2 bins or
            20 scores.
        labels_seed: Seed of the planar label. It is separate from the world, so that all worlds have one
            truth.
        world: Seed of the transforms.

    Raises:
        InvalidRequest: If there are more features than ``width``, the label depends on no feature, or a
            value is out of range.

    Source:
        P. P. Liang et al., Factorized Contrastive Learning: Going Beyond Multi-view Redundancy, NeurIPS
        2023, section 4.1, and the released Synthetic/dataset.py.

    Example:
        >>> {term: round(bits, 3) for term, bits in FactorCL().truth.terms.items()}
        {'redundant': 0.463, 'unique1': 0.0, 'unique2': 0.0, 'synergy': 0.537}
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
            check_injective(m, self.features[0] + self.features[1 + m], self.width)
        check_choice(self, "label", get_args(Label))
        if self.chosen is not None:
            object.__setattr__(self, "chosen", self._checked_choice(self.chosen))
        object.__setattr__(self, "classes", self.classes or CLASSES[self.label])
        super().__post_init__()

    def _checked_choice(self, chosen: Any) -> tuple[int, ...]:
        is_triple = isinstance(chosen, (tuple, list)) and len(chosen) == 3
        if not is_triple or not all(k in range(n + 1) for k, n in zip(chosen, self.features, strict=True)):
            raise InvalidRequest(
                f"chosen = {chosen!r}: expected three whole numbers, at most {self.features} "
                "(shared, unique1, unique2)"
            )
        return tuple(map(int, chosen))

    @property
    def features(self) -> tuple[int, int, int]:
        return (self.shared, self.unique1, self.unique2)

    @property
    def chosen_features(self) -> tuple[int, int, int]:
        return self.chosen or self.features

    @property
    def transforms(self) -> tuple[Float[Tensor, "d1 w1"], Float[Tensor, "d2 w2"]]:
        shared, *unique = self.features
        first, second = (
            uniform_matrix(self.world, "transform", m, shared + unique[m], self.width) for m in (0, 1)
        )
        return first, second

    @property
    def policies(self) -> tuple[str, ...]:  # type: ignore[override]
        """View policies; without noise a `noise` view would equal the sample."""
        *others, generic = super().policies
        return (*others, "independent", generic)

    def view(self, sample: Sample, policy: str, seed: int) -> Sample:
        if policy != "independent":
            return super().view(sample, policy, seed)
        x = []
        for m, clean in enumerate(sample.x):
            generator = torch_generator(child(seed, policy, m), clean.device)
            rows, width = clean.shape
            x.append(independent_view(clean, *draw_independent(rows, width, generator)))
        return replace(sample, x=tuple(x))

    def view_information(self, policy: str) -> dict[str, ViewInformation]:
        """Return I(X;X') and I(X';Y) under a policy, in bits; None where they are not known exactly.

        An `independent` view is FactorCL's released augmentation of the observation of each modality, with
        one of four choices per row: swap the halves, add noise with standard deviation 0.01, set a tenth of
        the numbers to 0, or keep all. The observations span fewer dimensions than they have numbers, so that
        the view shows its choice almost surely. All choices but the noise keep all features, so I(X;X') is
        infinite. I(X';Y) is the mean over the choices; under noise, the features and their estimates from
        the view are jointly Gaussian, so that the quadrature of the truth gives it.
        """
        if policy != "independent":
            return super().view_information(policy)
        most = self.width - max(1, self.width // INDEPENDENT_DROP)
        shows_choice = all(self.features[0] + unique <= most for unique in self.features[1:])
        if self.label == "planar" or not shows_choice:
            return {"y": ViewInformation(math.inf, None)}
        share = 1.0 / len(CHOICES)
        bits = 0.0
        for noisy in product((False, True), repeat=2):
            probability = math.prod(share if is_noisy else 1.0 - share for is_noisy in noisy)
            bits += probability * quantized_information(self._explained(noisy), self.classes)
        return {"y": ViewInformation(math.inf, bits)}

    def _explained(self, noisy: tuple[bool, ...]) -> float:
        """Return the share of the variance of the label's sum that two views explain.

        Args:
            noisy: Whether the view of each modality has the noise of `independent`.
        """
        shared, *unique = self.features
        seen = torch.eye(sum(self.features), dtype=torch.float64).split([shared, *unique])
        errors = []
        for m, transform in enumerate(self._transforms):
            error = self.noise**2 * torch.eye(len(transform), dtype=torch.float64)
            if noisy[m]:  # of the least-squares estimate of the features
                error += INDEPENDENT_NOISE**2 * torch.linalg.inv(transform.double() @ transform.double().mT)
            errors.append(error)
        maps = torch.cat([seen[0], seen[1], seen[0], seen[2]])
        covariance = VARIANCE * maps @ maps.mT + torch.block_diag(*errors)
        chosen = [block[:k].sum(0) for block, k in zip(seen, self.chosen_features, strict=True)]
        common = VARIANCE * maps @ torch.stack(chosen).sum(0)
        # Features that both modalities show without noise make the covariance singular.
        explained = common @ torch.linalg.pinv(covariance, rtol=1e-12, hermitian=True) @ common
        return min(1.0, float(explained) / (VARIANCE * sum(self.chosen_features)))

    @property
    def truth(self) -> Decomposition:
        if self.label != "planar":
            return super().truth
        return planar_decomposition(self.labels_seed, self.chosen_features, self.classes, self.noise)

    @property
    def target_specs(self) -> dict[str, Target]:
        if self.label != "planar":
            return super().target_specs
        prior, _ = planar_prior(self.labels_seed, sum(self.chosen_features), self.classes)
        return {"y": target_from_truth(self.truth, prior)}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.label != "planar":
            return super().labels(latents)
        return {"y": planar_label(self.choose(latents), self._network)}

    @cached_property
    def _network(self) -> Network:
        return planar_network(self.labels_seed, sum(self.chosen_features), self.classes)
