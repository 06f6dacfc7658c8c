"""Prints what the tools that watch trainings take for a decision, beside the limit of 5 ms and Lightning's own one.

CPU times of whole calls in a training or study of so many epochs, by how many finished runs teach the forecasts: the
callback's ``on_validation_end`` in a real training without loggers, with what it learns once, before the first epoch;
the pruner's ``prune`` in an Optuna study and the Ray stopper's call, each over a trial that meets new finished ones,
from which they have to learn, and over the next trial, which meets the same.

    python bench/callback.py [--epochs 100]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import optuna
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader, TensorDataset

from foretrain.integrations.lightning import ForecastFinal
from foretrain.integrations.optuna import ForecastPruner
from foretrain.integrations.ray import ForecastStopper
from foretrain.runtime.quiet import quiet_lightning

LIMIT = 5e-3
FINISHED = (0, 10, 20, 50)


class Scripted(LightningModule):
    """Logs values of a curve and learns nothing."""

    def __init__(self, curve: np.ndarray) -> None:
        super().__init__()
        self.curve = curve
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Returns 0."""
        return (self.weight * batch[0]).sum()

    def validation_step(self, _: list[torch.Tensor], __: int) -> None:
        """Logs the value of the epoch."""
        self.log("val_acc", float(self.curve[self.current_epoch]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns plain gradient descent."""
        return torch.optim.SGD(self.parameters(), 0.1)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves = _curves(2 + max(FINISHED), epochs)
    print("ms of processor time a call: mean, 95th percentile; pruner and stopper look at few of the epochs")
    _print_times("EarlyStopping", callback_seconds(EarlyStopping("val_acc", patience=epochs), curves[0]))
    for count in FINISHED:
        finished, two = curves[2 : 2 + count], curves[:2]
        callback = ForecastFinal("val_acc", history=finished if count else None, target=0.9)
        name = f"{count:3d} finished"
        _print_times(f"ForecastFinal, {name}", callback_seconds(callback, curves[0]))
        tools = (("ForecastPruner", pruner_seconds, 0.99), ("ForecastStopper", stopper_seconds, 0.98))
        for tool, trials, factor in tools:  # other values, so that nothing is known from the tool before
            for order, taken in zip(("new", "known"), trials(factor * finished, two), strict=True):
                _print_times(f"{tool}, {name}, {order}", {"a call": taken})


def callback_seconds(callback: Callback, curve: np.ndarray) -> dict[str, list[float]]:
    """Returns the CPU times of a callback's ``on_fit_start`` and ``on_validation_end``."""
    once, calls = [], []
    callback.on_fit_start = _timed(callback.on_fit_start, once)
    callback.on_validation_end = _timed(callback.on_validation_end, calls)
    loader = DataLoader(TensorDataset(torch.ones(1, 1)))
    with quiet_lightning(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        options = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        trainer = Trainer(
            max_epochs=len(curve), accelerator="cpu", callbacks=[callback], default_root_dir=folder, **options
        )
        trainer.fit(Scripted(curve), loader, loader)
    return {"a call": calls, "before the first epoch": once}


def pruner_seconds(finished: np.ndarray, running: np.ndarray) -> Iterator[list[float]]:
    """Yields the CPU times of the pruner's decisions for each running trial."""
    study = optuna.create_study(direction="maximize", pruner=ForecastPruner(running.shape[1]))
    for curve in finished:
        study.add_trial(
            optuna.trial.create_trial(value=curve[-1], intermediate_values=dict(enumerate(curve.tolist(), start=1)))
        )
    for curve in running:
        trial = study.ask()
        taken: list[float] = []
        decide = _timed(trial.should_prune, taken)
        for epoch, value in enumerate(curve.tolist(), start=1):
            trial.report(value, epoch)
            decide()
        yield taken


def stopper_seconds(finished: np.ndarray, running: np.ndarray) -> Iterator[list[float]]:
    """Yields the CPU times of the stopper's decisions for each running trial."""
    stopper = ForecastStopper("val_acc", running.shape[1])
    for number, curve in enumerate(np.concatenate([finished, running])):
        taken: list[float] = []
        decide = _timed(stopper, taken)
        # those that run do not reach the horizon, where they would become finished ones
        for epoch, value in enumerate(curve if number < len(finished) else curve[:-1], start=1):
            decide(str(number), {"val_acc": value, "training_iteration": epoch})
        if number >= len(finished):
            yield taken


def _timed(work: Callable[..., object], taken: list[float]) -> Callable[..., object]:
    def timed(*arguments: object) -> object:
        start = time.process_time()
        result = work(*arguments)
        taken.append(time.process_time() - start)
        return result

    return timed


def _print_times(name: str, taken: dict[str, list[float]]) -> None:
    calls = taken["a call"]
    mean, high = float(np.mean(calls)), float(np.quantile(calls, 0.95))
    once = sum(taken.get("before the first epoch", []))
    text = f"{name:38} {1e3 * mean:6.2f} {1e3 * high:6.2f}   {mean / LIMIT:.2f} of the limit"
    print(text + (f"; {1e3 * once:.0f} before the first epoch" if once else ""))


def _curves(count: int, epochs: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    finals = draw.uniform(0.6, 0.95, (count, 1))
    curves = finals * (1 - 0.6 * np.arange(1, epochs + 1) ** -0.8) + draw.normal(0, 0.005, (count, epochs))
    return np.clip(curves, 0, 1)


if __name__ == "__main__":
    main()
