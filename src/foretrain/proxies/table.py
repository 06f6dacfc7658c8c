"""The table of proxies: a new one is one entry and, at most, one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from foretrain.proxies.passes import Noise, Similarity, Slopes, Spread
from foretrain.proxies.scores import Reason, Unavailable

_OFFSET = 1e-5
"""Added to eigenvalues and correlations before their logarithm (jacov, epe_nas)."""
_FEW_CLASSES = 100
"""Up to so many classes epe_nas adds the classes' scores; beyond it compares them."""


@dataclass(frozen=True)
class Proxy:
    """A score of an untrained network.

    Attributes:
        name: Its name.
        reads: Names of the passes it is read off (keys of :data:`foretrain.proxies.passes.MAKERS`).
        read: Computes the value, a number or a tensor of one, from the results of these passes.
        needs_data: Whether it reads real inputs.
        needs_labels: Whether it reads labels.
        direction: 1 where a higher value promises a better network, -1 where a lower one does.
        not_finite: What a value of NaN or infinity means.
        minus_infinity: What a value of minus infinity means.
    """

    name: str
    reads: tuple[str, ...]
    read: Callable[..., Tensor | float]
    needs_data: bool = False
    needs_labels: bool = False
    direction: int = 1
    not_finite: Reason = Reason.OVERFLOW
    minus_infinity: Reason = Reason.NO_SIGNAL


def grad_norm(gradients: Slopes) -> Tensor:
    """``sum_l |dL/dW_l|_2`` over the layers (Abdelfattah et al. 2021)."""
    return _norms(gradients.slopes)


def l2_norm(weights: list[Tensor]) -> Tensor:
    """``sum_l |W_l|_2`` over the layers (Abdelfattah et al. 2021)."""
    return _norms(weights)


def snip(gradients: Slopes) -> Tensor:
    """``sum |W dL/dW|`` (Lee et al. 2019)."""
    return _products(gradients).abs().sum()


def plain(gradients: Slopes) -> Tensor:
    """``sum W dL/dW``, signed (Mozer and Smolensky 1989; Abdelfattah et al. 2021)."""
    return _products(gradients).sum()


def fisher(saliency: Tensor) -> Tensor:
    """The sum of :class:`foretrain.proxies.watching.ChannelSaliency` over all channels."""
    return saliency


def grasp(curvature: Slopes) -> Tensor:
    """``sum -W (H g)``, signed (Wang et al. 2020)."""
    return -_products(curvature).sum()


def synflow(flow: Slopes) -> Tensor:
    """``ln sum |W dR/dW|`` (Tanaka et al. 2020), the logarithm as in the published scores."""
    return _products(flow).abs().sum().log()


def logsynflow(flow: Slopes) -> Tensor:
    """``sum |W| ln(|dR/dW| + 1)`` (Cavagnero et al. 2023)."""
    return torch.stack([(w.abs() * slope.abs().log1p()).sum() for w, slope in zip(*flow, strict=True)]).sum()


def nwot(kernel: Tensor) -> Tensor:
    """``ln |det K|`` of :class:`foretrain.proxies.watching.CodeKernel` (Mellor et al. 2021).

    From the eigenvalues of K, a sum of Gram matrices: a singular kernel has minus infinity, not what rounding leaves.
    """
    eigenvalues = torch.linalg.eigvalsh(kernel)
    rounding = eigenvalues.amax() * len(kernel) * torch.finfo(kernel.dtype).eps
    return torch.where(eigenvalues > rounding, eigenvalues, 0).log().sum()


def jacov(similarity: Similarity) -> Tensor:
    """``-sum (ln(v + k) + 1/(v + k))`` over the eigenvalues v of the correlations, k = 1e-5 (Mellor et al. 2020)."""
    correlation = similarity.correlation
    known = correlation.isfinite().all()
    identity = torch.eye(len(correlation)).to(correlation)  # what cannot be decomposed would raise an error
    shifted = torch.linalg.eigvalsh(torch.where(known, correlation, identity)) + _OFFSET
    return torch.where(known, -(shifted.log() + 1 / shifted).sum(), torch.nan)


def epe_nas(similarity: Similarity) -> Tensor:
    """``sum_c |sum ln(|corr| + k)|``: for each class over the pairs of its samples, k = 1e-5 (Lopes et al. 2021).

    The pairs are ordered and hold each sample with itself. For more than 100 classes the public implementation divides
    a class's sum by its samples, and takes the sum over all ordered pairs of classes of the absolute difference,
    divided by the number of classes.
    """
    labels, logarithms = _classes(similarity), (similarity.correlation.abs() + _OFFSET).log()
    members = (labels[:, None] == torch.unique(labels)).double()
    sums = torch.einsum("ic,ij,jc->c", members, logarithms, members)
    if similarity.outputs <= _FEW_CLASSES:
        return sums.abs().sum()
    means: Tensor = sums / members.sum(0)
    return (means[:, None] - means).abs().sum() / len(means)


def zen(noise: Noise) -> Tensor:
    """``ln mean_b |f(x) - f(x')|_1 + sum_BN ln sqrt(mean running variance)`` (Lin et al. 2021)."""
    return noise.difference.log() + noise.log_scales


def zico(spread: Spread) -> Tensor:
    """``sum_l ln sum_W mean |dL/dW| / std |dL/dW|`` over several batches (Li et al. 2023, eq. 16).

    Weights whose gradient does not vary are left out, and layers of only such. (The public implementation divides by
    the deviation of the signed gradient.)
    """
    ratios = [
        torch.where(std > 0, mean / std, 0).sum() for mean, std in zip(spread.means, spread.deviations, strict=True)
    ]
    logarithms = torch.stack(ratios).log()
    return torch.where((logarithms > -torch.inf).any(), logarithms.nan_to_num(neginf=0.0).sum(), -torch.inf)


def millions(count: int) -> float:
    """A count in millions: of trainable parameters, or of floating-point operations of one sample."""
    return count / 1e6


def _norms(tensors: list[Tensor]) -> Tensor:
    return torch.stack([tensor.detach().norm(dtype=torch.float64) for tensor in tensors]).sum()


def _products(slopes: Slopes) -> Tensor:
    """All products of a weight and its slope, in a row."""
    return torch.cat([(w.detach() * slope.detach()).reshape(-1) for w, slope in zip(*slopes, strict=True)]).double()


def _classes(similarity: Similarity) -> Tensor:
    labels = similarity.labels
    if labels is None:
        raise Unavailable(Reason.NO_LABELS)
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != similarity.correlation.shape[:1]:
        raise Unavailable(Reason.NO_CLASSES)
    return labels


_GRADIENT = Reason.NON_FINITE_GRADIENT
PROXIES = {
    proxy.name: proxy
    for proxy in (
        Proxy("grad_norm", ("gradients",), grad_norm, needs_data=True, needs_labels=True, not_finite=_GRADIENT),
        Proxy("snip", ("gradients",), snip, needs_data=True, needs_labels=True, not_finite=_GRADIENT),
        Proxy("grasp", ("curvature",), grasp, needs_data=True, needs_labels=True, not_finite=_GRADIENT),
        Proxy("fisher", ("saliency",), fisher, needs_data=True, needs_labels=True, not_finite=_GRADIENT),
        Proxy("plain", ("gradients",), plain, needs_data=True, needs_labels=True, not_finite=_GRADIENT),
        Proxy("l2_norm", ("weights",), l2_norm),
        Proxy("synflow", ("flow",), synflow),
        Proxy("logsynflow", ("flow",), logsynflow),
        Proxy("jacov", ("similarity",), jacov, needs_data=True, not_finite=Reason.CONSTANT_GRADIENT),
        Proxy(
            "epe_nas",
            ("similarity",),
            epe_nas,
            needs_data=True,
            needs_labels=True,
            not_finite=Reason.CONSTANT_GRADIENT,
        ),
        Proxy("nwot", ("codes",), nwot, needs_data=True, minus_infinity=Reason.SINGULAR_KERNEL),
        Proxy("zen", ("noise",), zen),
        Proxy("zico", ("spread",), zico, needs_data=True, needs_labels=True, not_finite=_GRADIENT),
        Proxy("params", ("size",), millions),
        Proxy("flops", ("cost",), millions),
        Proxy("flops_published", ("published_cost",), millions),
    )
}
"""All proxies by name."""
