"""Twelve statistics of the weights and gradients of every layer, for a whole network at once (NAP2, section 3.1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

STATISTICS = ("mean", "variance", "std", "q0", "q25", "q50", "q75", "q100", "skewness", "kurtosis", "l1", "l2")
ROWS = 100
MAX_LAYERS = 65
INFINITY = 1e7

_QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def trainable_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Finds the dense and convolutional layers whose weight is trained.

    A layer is an ``nn.Linear``, ``nn.Conv1d/2d/3d``, ``nn.ConvTranspose1d/2d/3d`` or a subclass. Layers that share one
    weight count once. Where the weight is parametrised (``torch.nn.utils.parametrizations``: weight or spectral norm),
    the last of the tensors that it is computed from stands for it: it has the weight's shape, and the gradient. Layers
    whose weight is no parameter at all (the older ``torch.nn.utils.weight_norm``, pruning) are left out.

    Args:
        module: Any module.

    Returns:
        The layers by their name in ``module``, in the order of registration.
    """
    weights = {name: (layer, _weight(layer)) for name, layer in module.named_modules()}
    trained = {name: (layer, weight) for name, (layer, weight) in weights.items() if weight is not None}
    first = {id(weight): name for name, (_, weight) in reversed(trained.items()) if weight.requires_grad}
    return {name: layer for name, (layer, weight) in trained.items() if first.get(id(weight)) == name}


class NetworkStatistics:
    """Computes the statistics of a network's layers whenever it is called.

    Row 0 of a layer is the whole layer, then come up to 99 rows of its own: for a dense layer one per neuron, over the
    neuron's inputs; for a convolution one per (input channel, kernel position), over the filters. A filter of a grouped
    convolution sees ``in_channels / groups`` input channels, and the k-th of them counts as channel k in every group;
    the weight of a transposed convolution is read as that of the convolution it transposes. Of more than 99 rows a
    random 99 are chosen once, in ascending order.

    Rows of equal length are computed together, across layers and kinds, so the work is a few dozen operations whatever
    the number of neurons. Everything runs on the device of the parameters, with one transfer to the CPU at the end.

    Args:
        layers: Layers as :func:`trainable_layers` finds them, in the order of the result; those after the first 65 are
            dropped.
        generator: CPU generator that chooses the rows.

    Attributes:
        rows: ``int64[l]``, valid rows of each layer, row 0 included.
    """

    def __init__(self, layers: Sequence[nn.Module], generator: torch.Generator) -> None:
        weighted = [(layer, weight) for layer in layers if (weight := _weight(layer)) is not None]
        self._layers = [layer for layer, _ in weighted[:MAX_LAYERS]]
        self._weights = [weight for _, weight in weighted[:MAX_LAYERS]]
        matrices = [_row_matrix(layer, weight) for layer, weight in weighted[:MAX_LAYERS]]
        self._chosen = [_choose_rows(matrix, generator) for matrix in matrices]
        self.rows = torch.tensor([1 + min(len(matrix), ROWS - 1) for matrix in matrices], dtype=torch.int64)
        pieces = chain.from_iterable(self._groups([*self._weights, *self._weights]))
        self._places = torch.cat([torch.arange(place, place + len(rows)) for place, rows in pieces])

    @torch.no_grad()
    def __call__(self, gradient_scale: float = 1.0) -> Tensor:
        """Computes the statistics of the weights and gradients as they are now.

        Args:
            gradient_scale: Gradients are divided by it; where a layer has none, its gradient rows are zero.

        Returns:
            ``float32[2, l, 100, 12]`` on the CPU: kind 0 weights, kind 1 gradients; statistics in the order of
            ``STATISTICS``, rows that a layer does not have are zero.
        """
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self._weights]
        if gradient_scale != 1.0:
            gradients = [gradient / gradient_scale for gradient in gradients]
        groups = self._groups([*self._weights, *gradients])
        described = torch.cat([describe(torch.cat([rows for _, rows in group])) for group in groups])
        table = torch.zeros(2 * len(self._layers) * ROWS, len(STATISTICS))
        table[self._places] = described.cpu()
        return table.view(2, len(self._layers), ROWS, len(STATISTICS))

    def _groups(self, tensors: Sequence[Tensor]) -> list[list[tuple[int, Tensor]]]:
        """Groups all rows by their length, as (place of the first one in the table, rows ``[k, n]``).

        Args:
            tensors: Weights or gradients of the layers, kind after kind.
        """
        groups: dict[int, list[tuple[int, Tensor]]] = defaultdict(list)
        for index, tensor in enumerate(tensors):
            layer = index % len(self._layers)
            matrix, chosen = _row_matrix(self._layers[layer], tensor), self._chosen[layer]
            rows = matrix if chosen is None else matrix.index_select(0, chosen)
            groups[tensor.numel()].append((index * ROWS, tensor.reshape(1, -1)))
            groups[rows.shape[1]].append((index * ROWS + 1, rows))
        return list(groups.values())


def describe(values: Tensor) -> Tensor:
    r"""Describes every row of numbers by the twelve ``STATISTICS``.

    Mean, variance and standard deviation are those of the population (1/N), the quartiles interpolate linearly,
    skewness is :math:`\mu_3 / \sigma^3`, kurtosis :math:`\mu_4 / \sigma^4` (NAP2, equations 1 and 2), then come the L1
    and the L2 norm. NaN becomes 0 and infinities become :math:`\pm 10^7`: a constant row has skewness and kurtosis 0, a
    row that holds a NaN has zeros throughout.

    Args:
        values: ``[g, n]``; half precision is computed in float32.

    Returns:
        ``float32[g, 12]``.
    """
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    ordered = _sort(values)
    quartiles = torch.stack([_quantile(ordered, q) for q in _QUARTILES], dim=-1)
    quartiles = quartiles.masked_fill(ordered[:, -1:].isnan(), torch.nan)
    mean, std, skewness, kurtosis = _moments(values, ordered[:, -1:] - ordered[:, :1])
    norms = (values.abs().sum(dim=-1), torch.linalg.vector_norm(values, dim=-1))
    columns = (mean, std * std, std, *quartiles.unbind(dim=-1), skewness, kurtosis, *norms)
    return torch.stack(columns, dim=-1).float().nan_to_num(nan=0.0, posinf=INFINITY, neginf=-INFINITY)


def _moments(values: Tensor, spread: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, standard deviation, skewness and kurtosis; all but the mean are NaN where the spread is 0.

    Deviations are taken in units of the spread, since fourth powers of small gradients would vanish in float32, and
    centred once more, since the rounded mean is off by more than the deviations where a row is nearly constant.
    """
    mean = values.mean(dim=-1, keepdim=True)
    deviations = (values - mean).div_(spread)
    deviations -= deviations.mean(dim=-1, keepdim=True)
    squares = deviations * deviations
    second = squares.mean(dim=-1)
    third = (squares * deviations).mean(dim=-1)
    fourth = (squares * squares).mean(dim=-1)
    sigma = second.sqrt()
    return mean.squeeze(-1), spread.squeeze(-1) * sigma, third / (second * sigma), fourth / (second * second)


def _sort(values: Tensor) -> Tensor:
    """Sorts the rows; on the CPU by NumPy, whose sort is vectorised and keeps no indices (about ten times as fast)."""
    if values.device.type != "cpu":
        return values.sort(dim=-1).values
    ordered = values.detach().clone()
    ordered.numpy().sort(axis=-1)
    return ordered


def _quantile(ordered: Tensor, q: float) -> Tensor:
    """The q-quantile of sorted rows by linear interpolation; no arithmetic where it falls on a value."""
    position = q * (ordered.shape[-1] - 1)
    below = int(position)
    if below == position:
        return ordered[:, below]
    return torch.lerp(ordered[:, below], ordered[:, below + 1], position - below)


def _weight(layer: nn.Module) -> Tensor | None:
    """The parameter behind a dense or convolutional layer's weight; None for any other module."""
    if not isinstance(layer, (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)):
        return None
    if parametrize.is_parametrized(layer, "weight"):
        # asking for layer.weight would compute it, which advances the power iteration of the spectral norm
        return list(layer.get_submodule("parametrizations.weight").parameters(recurse=False))[-1]
    return dict(layer.named_parameters(recurse=False)).get("weight")


def _row_matrix(layer: nn.Module, tensor: Tensor) -> Tensor:
    """Views a weight or its gradient as ``[rows, values of a row]``."""
    if isinstance(layer, nn.Linear):
        return tensor
    if isinstance(layer, _TRANSPOSED):
        # [in, out / groups, *kernel] -> (in / groups, kernel position), (group, out / groups)
        grouped = tensor.reshape(layer.groups, -1, *tensor.shape[1:]).flatten(3)
        return grouped.permute(1, 3, 0, 2).flatten(2).flatten(0, 1)
    return tensor.flatten(1).T


def _choose_rows(matrix: Tensor, generator: torch.Generator) -> Tensor | None:
    """A random 99 of more rows, sorted, on the matrix's device; None where all are taken."""
    if len(matrix) < ROWS:
        return None
    return torch.randperm(len(matrix), generator=generator)[: ROWS - 1].sort().values.to(matrix.device)
