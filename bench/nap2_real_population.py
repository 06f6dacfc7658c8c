"""What the recorded population on CIFAR-10 is like, and whether looking inside helps to rank it, in two minutes.

    python bench/nap2_real_population.py

It reads the recording of ``experiment=nap2_baselines data=cifar10_small`` (and makes it where it is missing) and prints
spread, reliability and depths of the population, then Spearman's correlation of what is known after each snapshot with
the final test accuracy, and differences, with 95% bootstrap intervals over networks. All that is learned is judged out
of the four folds of the experiment. Zero-cost scores and the LSTM are left out. The attention predictors of the folds
are kept in ``runs/nap2_real_population``, where the figure is drawn.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from foretrain.evaluation.figures import advantage_over_snapshots
from foretrain.evaluation.nap2.attention import layer_table
from foretrain.evaluation.nap2.baselines import recent_loss
from foretrain.evaluation.nap2.folds import Fold, split_folds
from foretrain.evaluation.nap2.forests import fit_and_forecast
from foretrain.evaluation.nap2.inputs import architecture_inputs, curve_inputs, depth_table, hyperparameter_inputs
from foretrain.metrics.rank import bootstrap_interval, spearman
from foretrain.runtime.parallel import ParallelMap
from foretrain.runtime.study import TrainerFactory
from foretrain.snapshots.attention_training import fit_attention_predictor
from foretrain.snapshots.recording import SnapshotPopulation
from foretrain.snapshots.summaries import summarize

CONF = Path(__file__).parent.parent / "conf"
FITS = Path("runs") / "nap2_real_population"
SHOWN = (1, 3, 5, 8)
PAIRS = (
    ("inside and outside", "outside only"),
    ("attention (inside and outside)", "outside only"),
    ("attention (inside and outside)", "inside only"),
)
TRAINER = TrainerFactory(
    partial(
        Trainer,
        accelerator="cpu",
        devices=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    ),
    callbacks={},
)
Array = NDArray[np.float64]


def difference(truth: Array, ours: Array, theirs: Array, axis: int) -> Any:  # noqa: ANN401 - float or array
    """Spearman of one forecast minus that of another."""
    return spearman(truth, ours, axis=axis) - spearman(truth, theirs, axis=axis)


def attend(maps: Any, rows: Any, lengths: Any, seen: Array, truth: Array, folds: list[Fold], settings: Any) -> Array:  # noqa: ANN401
    """Forecasts of the attention predictor, out of fold."""
    table = layer_table(maps, rows, lengths, seen=seen, truth=truth)
    forecast = np.full(seen.shape[:2], np.nan)
    for fold in folds:
        parts = (torch.from_numpy(fold.train), torch.from_numpy(fold.validation))
        options = {"settings": settings, "trainer": TRAINER, "folder": FITS / fold.name, "seed": 0}
        module = fit_attention_predictor(table, *parts, **options)
        forecast[fold.test] = module.cpu()(table[torch.from_numpy(fold.test)]).double().numpy()
    return forecast


def main() -> None:
    """Prints everything."""
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["experiment=nap2_baselines", "data=cifar10_small", "run_dir=."])
    data: SnapshotPopulation = instantiate(config.data)
    recorded = data.record(ParallelMap())
    index = data.index()
    truth = index["test_accuracy"].to_numpy(dtype=np.float64)
    validation = index["final_val_accuracy"].to_numpy(dtype=np.float64)
    quantiles = np.percentile(truth, [0, 25, 50, 75, 100]).round(1)
    print(f"test accuracy: minimum, quartiles, maximum {quantiles}, standard deviation {truth.std(ddof=1):.1f} points")
    print(f"final validation against test accuracy: Spearman {spearman(truth, validation):.3f}")
    print(depth_table({data.title: index}).to_string(index=False))

    maps, counts, lengths = recorded.load_all(index["key"].to_list())
    inside, curves = summarize(maps, counts), curve_inputs(index)
    n, t = curves.shape[:2]
    fixed = np.concatenate([hyperparameter_inputs(index), architecture_inputs(data, index)], axis=1)
    outside = np.concatenate([curves, np.broadcast_to(fixed[:, None], (n, t, fixed.shape[1]))], axis=2)
    within = np.concatenate([inside, inside - inside[:, :1]], axis=2)
    tables = {"outside": outside, "inside": within, "everything": np.concatenate([outside, within], axis=2)}
    forest = instantiate(config.forest)
    forecasts = {name: np.full((n, t), np.nan) for name in tables}
    folds = split_folds(n, config.folds, config.validation_share, config.seed)[:-1]
    attention = attend(maps, counts, lengths, outside, truth, folds, instantiate(config.attention))
    for fold in folds:
        rest = np.union1d(fold.train, fold.validation)
        for name, table in tables.items():
            forecasts[name][fold.test] = fit_and_forecast(table[rest], truth[rest], table[fold.test], forest, 0)
    loss = np.stack(index["val_loss"].to_list())
    per_epoch = round(data.total_steps / data.plan.epochs / data.every_n_steps)
    ways = {
        "inside and outside": (forecasts.pop("everything") + forecasts["outside"]) / 2,
        "outside only": forecasts["outside"],
        "inside only": forecasts["inside"],
        "attention (inside and outside)": attention,
        "training accuracy": np.stack(index["train_accuracy"].to_list()),
        "training loss (SoTL-E)": -recent_loss(np.stack(index["train_loss"].to_list()), per_epoch),
        "last validation accuracy": np.stack(index["val_accuracy"].to_list()),
        "last validation loss": -np.nan_to_num(loss, nan=1e9, posinf=1e9),
    }
    for name, values in ways.items():
        cells = []
        for count in SHOWN:
            lower, upper = bootstrap_interval(spearman, truth, values[:, count - 1], seed=0)
            cells.append(f"{spearman(truth, values[:, count - 1]):.3f} [{lower:.3f}, {upper:.3f}]")
        print(f"| {name} | " + " | ".join(cells) + " |")
    rows = []
    for ours, theirs in PAIRS:
        for count in range(1, t + 1):
            triple = (truth, ways[ours][:, count - 1], ways[theirs][:, count - 1])
            lower, upper = bootstrap_interval(difference, *triple, seed=0)
            value = spearman(*triple[:2]) - spearman(truth, triple[2])
            print(f"{ours} minus {theirs}, after {count}: {value:.3f} [{lower:.3f}, {upper:.3f}]")
            row = {"method": f"{ours} minus {theirs}", "snapshots": count}
            rows.append(row | {"value": value, "lower": lower, "upper": upper})
    drawn = pd.DataFrame(rows[: 2 * t])
    advantage_over_snapshots(drawn, FITS / "inside.png", data.every_n_steps, data.title)


if __name__ == "__main__":
    main()
