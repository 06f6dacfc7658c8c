"""Prints what Optuna's pruners and ours find, and the epochs that they spend, in studies of really trained networks.

Each study optimises the validation accuracy of small perceptrons on scikit-learn's digits with Optuna's TPE sampler.
All pruners meet the same samplers, seed by seed. A configuration is trained once a seed, as far as any study asks, and
its curve is kept, so that all pruners see the same and another call goes on where one was stopped.

    python bench/pruner.py [--task plain] [--probability 0.1] [--studies 10] [--trials 40] [--cache cache/pruner]

On the task ``plain`` early epochs rank well. The task ``crossing`` has another optimiser, a constant learning rate,
noisy labels and another search space: curves cross. What is chosen in ForecastPruner is chosen on both tasks with
``--first-seed 0``; what is reported comes from the seeds from 1000 on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, pairwise, product
from pathlib import Path

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn

from foretrain.integrations.optuna import ForecastPruner
from foretrain.runtime.files import write_text
from foretrain.runtime.seeding import derive_seed, make_generator

EPOCHS = 27
TRAIN_SAMPLES = 320
RESAMPLES = 10_000

FloatArray = NDArray[np.float64]
Parameters = Mapping[str, float]

PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "NopPruner": optuna.pruners.NopPruner,
    "MedianPruner": optuna.pruners.MedianPruner,
    "SuccessiveHalvingPruner": optuna.pruners.SuccessiveHalvingPruner,
    "HyperbandPruner": lambda: optuna.pruners.HyperbandPruner(max_resource=EPOCHS),
}
OURS = "ForecastPruner"


@dataclass(frozen=True)
class Task:
    """What is optimised.

    Attributes:
        label_noise: Share of the training labels that are drawn at random.
        optimizer: Makes the optimiser from parameters, learning rate and weight decay.
        decays: Whether the learning rate falls to zero, by half a cosine.
        log_rate: Smallest and largest decimal logarithm of the learning rate.
        log_width: Smallest and largest binary logarithm of the hidden width.
    """

    label_noise: float
    optimizer: Callable[..., torch.optim.Optimizer]
    decays: bool
    log_rate: tuple[float, float]
    log_width: tuple[int, int]

    def suggest(self, trial: optuna.Trial) -> Parameters:
        """Draws a configuration."""
        return {
            "log_rate": trial.suggest_float("log_rate", *self.log_rate, step=0.25),
            "log_width": trial.suggest_int("log_width", *self.log_width),
            "depth": trial.suggest_int("depth", 1, 3),
            "momentum": trial.suggest_float("momentum", 0.0, 0.9, step=0.3),
            "log_batch": trial.suggest_int("log_batch", 5, 6),
            "log_decay": trial.suggest_int("log_decay", -5, -2),
        }


def _sgd(parameters: object, lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr, momentum=momentum, weight_decay=weight_decay)


def _adam(parameters: object, lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr, betas=(momentum, 0.999), weight_decay=weight_decay)


TASKS = {
    "plain": Task(0.0, _sgd, True, (-3.5, -0.25), (3, 7)),
    "crossing": Task(0.2, _adam, False, (-4.5, -1.5), (2, 6)),
}


@dataclass
class Curves:
    """The curves of one study's configurations, on disk as lines of JSON of which the last one of a key counts.

    Attributes:
        task: What is trained.
        seed: Seed of the study.
        path: The file.
        known: The curves by configuration, as far as they were trained.
    """

    task: Task
    seed: int
    path: Path
    known: dict[str, list[float]] = field(default_factory=dict)
    _trainings: dict[str, Iterator[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            lines = [json.loads(line) for line in self.path.read_text().splitlines()]
            self.known = {line["key"]: line["curve"] for line in lines}

    def epochs(self, parameters: Parameters) -> Iterator[float]:
        """Yields the validation accuracy (percent) epoch by epoch and trains only what is not known."""
        key = json.dumps({name: round(value, 4) for name, value in parameters.items()}, sort_keys=True)
        curve = self.known.setdefault(key, [])
        for epoch in range(EPOCHS):
            if epoch == len(curve):
                if key not in self._trainings:
                    self._trainings[key] = islice(train(self.task, parameters, self.seed), epoch, None)
                curve.append(next(self._trainings[key]))
            yield curve[epoch]

    def save(self) -> None:
        """Puts the curves on disk."""
        lines = [json.dumps({"key": key, "curve": curve}) for key, curve in self.known.items()]
        write_text(self.path, "".join(f"{line}\n" for line in lines))

    @property
    def optimum(self) -> float:
        """The best final accuracy of all that were trained to the end."""
        return max(curve[-1] for curve in self.known.values() if len(curve) == EPOCHS)


def train(task: Task, parameters: Parameters, seed: int) -> Iterator[float]:
    """Trains a perceptron and yields its validation accuracy after each epoch, percent.

    Initial weights and order are drawn from generators of its own: trainings may take turns.
    """
    data = _digits(task.label_noise)
    generator = make_generator(seed, "training")
    network = _perceptron(2 ** int(parameters["log_width"]), int(parameters["depth"]), generator)
    rate, batch = 10.0 ** parameters["log_rate"], 2 ** int(parameters["log_batch"])
    decay = 10.0 ** parameters["log_decay"]
    optimizer = task.optimizer(network.parameters(), rate, parameters["momentum"], decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS)) if task.decays else 1.0
    )
    for _ in range(EPOCHS):
        for rows in torch.randperm(TRAIN_SAMPLES, generator=generator).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(data.inputs[rows]), data.labels[rows]).backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            right = network(data.valid_inputs).argmax(dim=1) == data.valid_labels
        yield 100 * float(right.float().mean())


@dataclass(frozen=True)
class Digits:
    """Images ``[n, 64]`` and classes ``[n]``."""

    inputs: Tensor
    labels: Tensor
    valid_inputs: Tensor
    valid_labels: Tensor


@cache
def _digits(label_noise: float) -> Digits:
    """Few images to train on and many to validate on; only labels to train on are noisy."""
    images, labels = load_digits(return_X_y=True)
    generator = make_generator(0, "digits")
    order = torch.randperm(len(images), generator=generator)
    inputs, classes = torch.tensor(images / 8 - 1, dtype=torch.float32)[order], torch.tensor(labels)[order]
    noisy = torch.rand(TRAIN_SAMPLES, generator=generator) < label_noise
    drawn = torch.randint(10, (TRAIN_SAMPLES,), generator=generator)
    train_classes = torch.where(noisy, drawn, classes[:TRAIN_SAMPLES])
    return Digits(inputs[:TRAIN_SAMPLES], train_classes, inputs[TRAIN_SAMPLES:], classes[TRAIN_SAMPLES:])


def _perceptron(width: int, depth: int, generator: torch.Generator) -> nn.Sequential:
    """Weights are drawn as He et al. do, biases are zero."""
    layers: list[nn.Module] = []
    for before, after in pairwise([64, *[width] * depth, 10]):
        layers += [nn.Linear(before, after), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-2].weight, generator=generator)
        nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Outcome:
    """What a study came to.

    Attributes:
        best: Best final accuracy, percent.
        epochs: Epochs trained.
        seconds: Mean time of a decision, CPU seconds.
    """

    best: float
    epochs: int
    seconds: float


def run_study(curves: Curves, pruner: optuna.pruners.BasePruner, trials: int) -> Outcome:
    """Optimises with a pruner; the sampler depends on the study's seed only."""
    seed = derive_seed(curves.seed, "sampler") % 2**32
    study = optuna.create_study(
        study_name=str(curves.seed),  # Hyperband chooses brackets by it
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruner,
    )
    epochs, decisions = 0, []

    def objective(trial: optuna.Trial) -> float:
        nonlocal epochs
        accuracy = math.nan
        for epoch, accuracy in enumerate(curves.epochs(curves.task.suggest(trial)), start=1):
            epochs += 1
            trial.report(accuracy, epoch)
            start = time.process_time()
            stop = trial.should_prune()
            decisions.append(time.process_time() - start)
            if stop and epoch < EPOCHS:
                raise optuna.TrialPruned
        return accuracy

    study.optimize(objective, n_trials=trials)
    curves.save()
    return Outcome(study.best_value, epochs, float(np.mean(decisions)))


def main() -> None:
    """Runs the studies and prints the table."""
    options = _options()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options.cache.mkdir(parents=True, exist_ok=True)
    task = TASKS[options.task]
    seeds = range(options.first_seed, options.first_seed + options.studies)
    pruners = {**PRUNERS, OURS: lambda: ForecastPruner(EPOCHS, options.probability)}
    recorded = [Curves(task, seed, options.cache / f"{options.task}-{seed}.jsonl") for seed in seeds]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in pruners}
    for curves, name in product(recorded, pruners):
        outcomes[name].append(run_study(curves, pruners[name](), options.trials))
        print(f"study {curves.seed}, {name}: {outcomes[name][-1]}", file=sys.stderr, flush=True)
    _print_table(outcomes, np.array([curves.optimum for curves in recorded]), options)


def _print_table(outcomes: dict[str, list[Outcome]], optimum: FloatArray, options: argparse.Namespace) -> None:
    print(f"{options.studies} studies of {options.trials} trials of {EPOCHS} epochs, task {options.task!r}")
    print("regret: points below the best network known; difference: ours minus theirs, study by study, 95% bootstrap")
    print()
    print("| pruner | epochs a study | regret | regret: difference | epochs: ours / theirs | ms a decision |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    regrets = {name: optimum - [item.best for item in found] for name, found in outcomes.items()}
    epochs = {name: np.array([float(item.epochs) for item in found]) for name, found in outcomes.items()}
    for name, found in outcomes.items():
        milliseconds = 1e3 * np.mean([item.seconds for item in found])
        difference = _interval(regrets[OURS] - regrets[name], "{:+.2f}")
        share = _interval(epochs[OURS] / epochs[name], "{:.2f}")
        other = f"{difference} | {share}" if name != OURS else "- | -"
        print(f"| {name} | {epochs[name].mean():.0f} | {regrets[name].mean():.2f} | {other} | {milliseconds:.1f} |")


def _interval(values: FloatArray, form: str) -> str:
    """Mean and 95% bootstrap interval over studies."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    ends = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return f"{form.format(values.mean())} ({form.format(ends[0])} to {form.format(ends[1])})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="plain")
    parser.add_argument("--probability", type=float, default=0.1, help="of ForecastPruner; 0.1 is its default")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--cache", type=Path, default=Path("cache/pruner"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
