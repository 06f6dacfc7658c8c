"""Prints what limits forecasts of curves: how well they could rank, how noisy final values are, how fast errors fall.

python bench/curve_limits.py nasbench201 [--shares 0.1 0.2 0.5]

Rankings: the best baseline of one number; a ridge regression of the final ranks on ten numbers of each curve, fitted to
the very networks that it ranks (no combination that a rule without finished runs could take ranks much better) and
cross-fitted (a tenth is ranked by what the others teach); and the few-shot forecast, cross-fitted as well.

Errors: without finished runs the forecast rises by a growth of the logarithm of the error. The best factor on it is the
one number of a benchmark that would make the mean error least: 1 is right, more is needed where a schedule jumps, less
where curves flatten. It cannot be known before something has finished.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foretrain.benchmarks.task import BenchmarkTask, Target
from foretrain.curves import extrapolate
from foretrain.curves.envelope import Envelopes
from foretrain.curves.observation import Observation
from foretrain.curves.summaries import CurveSummary
from foretrain.evaluation.curves.population import CurvePopulation, curve_population
from foretrain.metrics.error import mae
from foretrain.metrics.rank import spearman

FloatArray = NDArray[np.float64]
TARGETS = {
    "nasbench201": Target("cifar10-valid", "valid", 200),
    "naap440": Target(split="test"),
    "digits201": Target(split="valid"),
    "digits101": Target(split="valid"),
}
FOLDS, REPEATS = 10, 5
PENALTIES = np.logspace(-2, 3, 11)
FACTORS = np.linspace(0, 4, 401)


def main() -> None:
    """Measures and prints."""
    options = _options()
    task = BenchmarkTask(options.benchmark, TARGETS[options.benchmark])
    population = curve_population(task, options.networks, seed=0)
    print(f"{options.benchmark}: {len(population.valid)} networks, {population.horizon} epochs")
    say_noise(task, population)
    for share in options.shares:
        epochs = max(2, round(share * population.horizon))
        say_rankings(population, epochs)
        say_errors(population, epochs)


def say_noise(task: BenchmarkTask, population: CurvePopulation) -> None:
    """Prints how far the final values of equal networks lie apart, where they were trained more than once."""
    target = task.target
    seeds = next(s.seeds for s in task.benchmark.series if s.name == "accuracy" and s.split == target.split)
    finals = [task.benchmark.accuracy(population.rows, target.dataset, target.split, s, target.epochs) for s in seeds]
    table = np.stack(finals)
    table = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    if not table.size:
        print("  every network was trained once: the noise of final values is not known")
        return
    deviation = np.nanstd(table, axis=0, ddof=1)
    error = deviation / np.sqrt((~np.isnan(table)).sum(axis=0)) * np.sqrt(2 / np.pi)
    pairs = table[:2, ~np.isnan(table[:2]).any(axis=0)]
    print(
        f"  {table.shape[1]} trained more than once: deviation between seeds {np.median(deviation):.2f} points in the "
        f"median, {deviation.mean():.2f} in the mean; mean error of who knew each expectation {error.mean():.2f}; "
        f"Spearman between two seeds {spearman(pairs[0], pairs[1]):.3f}"
    )


def say_rankings(population: CurvePopulation, epochs: int) -> None:
    """Prints how well final values could be ranked after so many epochs."""
    final = population.final
    train = None if population.train is None else population.train[:, :epochs]
    known = Observation.of("curves", population.valid[:, :epochs], train, population.train_metric, population.horizon)
    kinds = {"validation": [known.valid]} | ({} if known.train is None else {"both": [known.valid, known.train]})
    for name, curves in kinds.items():
        numbers = np.hstack([features(values) for values in curves])
        single = max(spearman(final, column) for column in numbers.T)
        own, crossed = ridge_rankings(numbers, final)
        few = few_shot_ranking(population, epochs, with_train=len(curves) > 1)
        print(
            f"  {epochs} epochs, {name:10}: best single number {single:.3f}, ridge on the same networks {own:.3f}, "
            f"cross-fitted {crossed:.3f}, few-shot with nine tenths finished {few[0]:.3f}, error {few[1]:.2f}"
        )


def say_errors(population: CurvePopulation, epochs: int) -> None:
    """Prints the error of the zero-shot level, and what the best factor on its growth would make of it."""
    valid, final = population.valid[:, :epochs], population.final
    mean = np.asarray(extrapolate(valid, population.horizon).mean)
    reached = Envelopes(valid).reached
    growth = np.log(101 - reached) - np.log(101 - mean)
    errors = [mae(final, 101 - (101 - reached) * np.exp(-factor * growth)) for factor in FACTORS]
    print(
        f"  {epochs} epochs, level     : best so far errs by {mae(final, valid.max(axis=1)):.2f}, zero-shot "
        f"{mae(final, mean):.2f} (bias {np.mean(mean - final):+.2f}), with the best factor "
        f"{FACTORS[int(np.argmin(errors))]:.2f} on its growth {min(errors):.2f}"
    )


def features(curves: FloatArray) -> FloatArray:
    """Ten numbers ``[n, 10]`` of each curve."""
    s = CurveSummary.of(curves)
    running = np.maximum.accumulate(curves, axis=1).mean(axis=1)
    level, steps = Envelopes(curves).reached, np.diff(curves, axis=1)
    return np.stack(
        [s.last, s.best, s.top, s.recent, s.early, s.exponent, level, running, curves[:, 0], steps.std(axis=1)], axis=1
    )


def ridge_rankings(numbers: FloatArray, final: FloatArray) -> tuple[float, float]:
    """Spearman of ridge regressions of the final ranks: on their own networks, and cross-fitted."""
    target = stats.norm.ppf((stats.rankdata(final) - 0.5) / len(final))
    inputs = np.column_stack([numbers, stats.rankdata(numbers, axis=0)])
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    own = spearman(final, model.fit(inputs, target).predict(inputs))
    crossed = []
    for repeat in range(REPEATS):
        foreseen = np.empty(len(final))
        for rows in folds(len(final), repeat):
            others = np.setdiff1d(np.arange(len(final)), rows)
            foreseen[rows] = model.fit(inputs[others], target[others]).predict(inputs[rows])
        crossed.append(spearman(final, foreseen))
    return own, float(np.mean(crossed))


def few_shot_ranking(population: CurvePopulation, epochs: int, *, with_train: bool) -> tuple[float, float]:
    """Spearman and mean error of few-shot forecasts of each tenth, taught by the others."""
    final = population.final
    score, mean = np.empty((2, len(final)))
    train = population.train if with_train else None
    for rows in folds(len(final), 0):
        others = np.setdiff1d(np.arange(len(final)), rows)
        forecast = extrapolate(
            population.valid[rows, :epochs],
            population.horizon,
            None if train is None else train[rows, :epochs],
            population.valid[others],
            finished_train=None if train is None else train[others],
            train_metric=population.train_metric,
        )
        score[rows], mean[rows] = forecast.score, forecast.mean
    return spearman(final, score), mae(final, mean)


def folds(n: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows of each fold."""
    return np.array_split(np.random.default_rng(seed).permutation(n), FOLDS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=TARGETS)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.5])
    parser.add_argument("--networks", type=int, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
