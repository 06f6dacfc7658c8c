"""One's own candidates, scored and ranked before any of them is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from foretrain.errors import ConfigError
from foretrain.integrations.models import Model
from foretrain.proxies.combination import normal_scores
from foretrain.proxies.scores import Reason, Scores, average
from foretrain.proxies.scoring import score
from foretrain.proxies.table import PROXIES
from foretrain.runtime.files import atomic_path
from foretrain.runtime.progress import progress_bar
from foretrain.runtime.seeding import derive_seed

ONE_BATCH = tuple(name for name in PROXIES if name != "zico")
"""The proxies that need one batch at most."""

RANKED_BY = ("logsynflow", "synflow", "nwot", "jacov", "params")
"""The scores whose mean normal score ranks the candidates: those of the combination that was designed for that."""

_OTHER_COLUMNS = 40  # letters of a line for rank, combined, params and a score or two
_SHORTEST_NAME = 12


def rank_models(
    models: Sequence[Model], batch: tuple[Tensor, Tensor], proxies: Sequence[str], repeats: int, seed: int, device: str
) -> pd.DataFrame:
    """Scores candidates and ranks them by the mean normal score of :data:`RANKED_BY`.

    Args:
        models: The candidates.
        batch: Inputs and labels; integer labels are classes, others are real targets.
        proxies: Names of the proxies.
        repeats: Initialisations to average over.
        seed: Seed of weights and noise.
        device: Where they are scored.

    Returns:
        One row a candidate, the best first: ``rank``, ``model``, ``combined`` (NaN where none of the scores that rank
        is there), the scores, ``seconds`` and ``reason``: why scores are missing.

    Raises:
        ConfigError: The device cannot be used.
    """
    _require_device(device)
    rows = []
    with progress_bar("scoring candidates", len(models)) as advance:
        for model in models:
            rows.append(_row(model, batch, proxies, repeats, seed, device))
            advance()
    table = pd.DataFrame(rows)
    ranking = [name for name in RANKED_BY if name in proxies] or list(proxies)
    values = table[ranking].to_numpy(dtype=np.float64)
    combined = normal_scores(values).mean(axis=1)
    table.insert(1, "combined", np.where(np.isfinite(values).any(axis=1), combined, np.nan))
    table = table.sort_values("combined", ascending=False, kind="stable", na_position="last")
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table.reset_index(drop=True)


def _require_device(device: str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # a build without CUDA asserts
        problem = f"cannot be used ({str(error).splitlines()[0]})"
        raise ConfigError("device", problem, device, "cpu, or one that 'foretrain doctor' lists") from error


def fitting(table: pd.DataFrame, width: int) -> tuple[str, list[str]]:
    """Returns a ranking as text of a width at most, and the scores that found no place.

    The rank, the network and its combined score are always there; then come the parameter count, which any score has to
    beat, the scores that rank, and the others. Long names keep their ends. Reasons for missing scores stand below.

    Args:
        table: The table of :func:`rank_models`.
        width: Letters in a line.
    """
    first = ["rank", "model", "combined"]
    scores = [name for name in table.columns if name not in (*first, "seconds", "reason")]
    waiting = sorted([*scores, "seconds"], key=lambda name: (name != "params", name not in RANKED_BY))
    names = table["model"]
    longest = max(width - _OTHER_COLUMNS, _SHORTEST_NAME)
    table = table.assign(model=[f"…{name[1 - longest :]}" if len(name) > longest else name for name in names])
    shown, left = _text(table[first]), []
    for name in waiting:
        wider = _text(table[[*first, name]])
        if len(wider.splitlines()[0]) <= width:
            first, shown = [*first, name], wider
        else:
            left.append(name)
    reasons = [f"{model}: {reason}" for model, reason in zip(names, table["reason"], strict=True) if reason]
    return "\n".join([shown, *reasons]), left


def _text(table: pd.DataFrame) -> str:
    return str(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def draw_ranking(table: pd.DataFrame, path: Path) -> None:
    """Draws the combined score of the candidates, the best at the top."""
    known = table[table["combined"].notna()].iloc[::-1]
    figure = Figure(figsize=(9, 1.6 + 0.35 * len(known)), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.barh(known["model"], known["combined"], color="#0072B2")
    axes.axvline(0, color="0.45", linewidth=1)
    axes.set_xlabel("mean normal score of " + ", ".join(RANKED_BY) + "\n(higher is better, among these candidates)")
    axes.set_title("Candidates before training, ranked for training from scratch")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def _row(
    model: Model, batch: tuple[Tensor, Tensor], proxies: Sequence[str], repeats: int, seed: int, device: str
) -> dict[str, object]:
    try:
        scores = _score(model, batch, proxies, repeats, seed, device)
    except Exception as error:  # noqa: BLE001 - one broken candidate must not end the others
        text = (str(error).splitlines() or [""])[0]
        missing = dict.fromkeys(proxies, np.nan)
        return {
            "model": model.name,
            **missing,
            "seconds": 0.0,
            "reason": f"{Reason.FAILED}: {type(error).__name__}: {text}",
        }
    values = {name: found.signed for name, found in scores.items()}
    return {"model": model.name, **values, "seconds": scores.seconds, "reason": _reasons(scores)}


def _score(
    model: Model, batch: tuple[Tensor, Tensor], proxies: Sequence[str], repeats: int, seed: int, device: str
) -> Scores:
    inputs, labels = batch
    is_class = not labels.is_floating_point()
    outputs = int(labels.max()) + 1 if is_class else int(labels[0].numel())
    channels = inputs.shape[1] if inputs.ndim > 1 else 1
    loss = cross_entropy if is_class else mse_loss
    found = []
    for repetition in range(repeats):  # built anew each time: not every layer knows how to draw its weights again
        own_seed = derive_seed(seed, model.name, *([repetition] if repetition else []))
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(own_seed)
            network = model.build(channels, outputs).to(device)
        found.append(score(network, batch, loss, proxies, seed=own_seed))
    return average(found)


def _reasons(scores: Scores) -> str:
    """The reasons with the proxies that lack a value for them, e.g. ``no_rectifier (nwot)``."""
    by_reason: dict[str, list[str]] = {}
    for name, found in scores.items():
        if found.reason is not None:
            text = f"{found.reason}: {found.detail}" if found.reason == Reason.FAILED else str(found.reason)
            by_reason.setdefault(text, []).append(name)
    return "; ".join(f"{reason} ({', '.join(names)})" for reason, names in by_reason.items())
