"""All selection methods on the same folds and the same trajectories."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from foretrain.evaluation.nap2.folds import IndexArray
from foretrain.evaluation.nap2.judging import JUDGED, FloatArray
from foretrain.metrics.rank import Interval
from foretrain.runtime.parallel import Record
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext
from foretrain.search.agent import Selection, SelectionRule
from foretrain.search.replay import RecordedContenders, judge, judge_grid
from foretrain.search.selectors import Selector


@dataclass(frozen=True)
class _Contest:
    """One selector on all folds.

    Attributes:
        selector: The method with its settings.
        scores: For each fold ``[m, t]``, what it sees of the fold's networks.
        features: For each fold ``[m, d]``, their configurations.
        seeds: For each repeat and fold a seed.
        unit: Units from one column of the scores to the next.
    """

    selector: Selector
    scores: Sequence[FloatArray]
    features: Sequence[FloatArray]
    seeds: Sequence[Sequence[int]]
    unit: int


@dataclass(frozen=True, eq=False)
class Race:
    """What selectors see of n networks, and what judges them.

    Attributes:
        scores: ``[n, t]``, minus the validation loss after 1 to t units.
        finished: ``[n]``, validation accuracy at the end of training, for methods that train to the end.
        total_units: Units of a whole training; more than t where it is recorded in part.
        features: ``[n, d]``, the networks as points of a box.
        truth: ``[n]``, final test accuracies in percent.
        folds: Positions of the networks of each fold.
    """

    scores: FloatArray
    finished: FloatArray
    total_units: int
    features: FloatArray
    truth: FloatArray
    folds: Sequence[IndexArray]


def compete(
    context: RunContext,
    baselines: Mapping[str, Sequence[Selector]],
    race: Race,
    final_sizes: Sequence[int],
    repeats: int,
) -> pd.DataFrame:
    """Runs every selector on every fold, some times with other random numbers.

    A selector trains what it trains whatever the number of networks to keep, so each run is judged for all sizes.

    Args:
        context: The run; the selectors go through its parallel map.
        baselines: The selectors of each method.
        race: The networks.
        final_sizes: How many networks are to be kept.
        repeats: Runs of each selector on a fold.

    Returns:
        One row a method, setting and final size: ``method``, ``setting``, ``final_size``, the means over folds and
        repeats of what :func:`~foretrain.search.replay.judge` says, and ``seconds`` of processor time that a decision
        took (the only column that is not reproducible).
    """
    contests = {
        f"{method}-{number:03d}": _contest(race, selector, derive_seed(context.seed, method, number), repeats)
        for method, selectors in baselines.items()
        for number, selector in enumerate(selectors)
    }
    records = context.parallel(_hold, contests, context.folder.path / "fits" / "selections", "running the baselines")
    rows = []
    for method, selectors in baselines.items():
        for number, selector in enumerate(selectors):
            record = records[f"{method}-{number:03d}"]
            for size in final_sizes:
                judged = [
                    judge(Selection(np.array(kept[:size]), resources), race.truth[members])
                    for run in record["runs"]
                    for (kept, resources), members in zip(run, race.folds, strict=True)
                ]
                means = pd.DataFrame(judged).mean().to_dict()
                row = {"method": method.replace("_", " "), "setting": describe(selector), "final_size": size}
                rows.append(row | means | {"seconds": record["seconds"]})
    return pd.DataFrame(rows)


def describe(setting: Selector | SelectionRule) -> str:
    """Returns the options of a setting in a few words; empty where it has none."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in vars(setting).items())


def agents_table(
    methods: Mapping[str, FloatArray],
    rules: Sequence[SelectionRule],
    truth: FloatArray,
    folds: Sequence[IndexArray],
) -> pd.DataFrame:
    """Returns the table of :func:`compete` for methods that rank all networks that are left and drop the worst.

    Args:
        methods: What each ranks by, ``[n, t]``, higher is better.
        rules: The rules.
        truth: ``[n]``, final accuracies in percent.
        folds: Positions of the networks of each fold.
    """
    parts = []
    settings = [describe(replace(rule, final_size=1)).rpartition(", ")[0] for rule in rules]
    for method, scores in methods.items():
        started = time.process_time()
        judged = [judge_grid(scores[members], rules, truth[members]) for members in folds]
        seconds = (time.process_time() - started) / (len(rules) * len(folds))
        means = pd.concat(judged).groupby(level=0)[list(JUDGED)].mean()
        sizes = [rule.final_size for rule in rules]
        parts.append(means.assign(method=method, setting=settings, final_size=sizes, seconds=seconds))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class PairedDifference:
    """How two methods compare at equal resources.

    Attributes:
        ours: Mean accuracy difference from the best network, points.
        theirs: The same of the other method.
        interval: 95% interval of ours - share * theirs, over halves of the population.
    """

    ours: float
    theirs: float
    interval: Interval


def losses_on_halves(
    methods: Mapping[str, FloatArray], rules: Sequence[SelectionRule], truth: FloatArray, seed: int, draws: int = 100
) -> dict[str, FloatArray]:
    """Returns what each method loses on random halves of the population: the mean over the rules, ``[draws]`` points.

    Each draw takes half of the networks without replacement; all methods select from the same halves by the same rules,
    so at equal resources.

    Args:
        methods: What each ranks by, ``[n, t]``, higher is better.
        rules: The rules.
        truth: ``[n]``, final accuracies in percent.
        seed: Seed of the draws.
        draws: Number of halves.
    """
    generator = np.random.default_rng(derive_seed(seed, "halves"))
    halves = [np.sort(generator.permutation(len(truth))[: max(2, len(truth) // 2)]) for _ in range(draws)]
    return {
        method: np.array(
            [judge_grid(scores[half], rules, truth[half])["accuracy_difference"].mean() for half in halves]
        )
        for method, scores in methods.items()
    }


def paired_difference(ours: FloatArray, theirs: FloatArray, share: float = 1.0) -> PairedDifference:
    """Compares what two methods lose on the same halves.

    Args:
        ours: ``[draws]``, as of :func:`losses_on_halves`.
        theirs: The same of the other method.
        share: Their loss is multiplied by it: .5 asks whether ours is at most half.
    """
    lower, upper = np.quantile(ours - share * theirs, [0.025, 0.975])
    return PairedDifference(float(ours.mean()), float(theirs.mean()), Interval(float(lower), float(upper)))


def _contest(race: Race, selector: Selector, seed: int, repeats: int) -> _Contest:
    """A selector and all that it needs; one that trains to the end sees the end only."""
    scores, unit = (race.finished[:, None], race.total_units) if selector.trains_to_end else (race.scores, 1)
    return _Contest(
        selector,
        [scores[members] for members in race.folds],
        [race.features[members] for members in race.folds],
        [[derive_seed(seed, repeat, fold) for fold in range(len(race.folds))] for repeat in range(repeats)],
        unit,
    )


def _hold(contest: _Contest) -> Record:
    started = time.process_time()
    runs = []
    for seeds in contest.seeds:
        run = []
        for scores, features, seed in zip(contest.scores, contest.features, seeds, strict=True):
            selection = contest.selector.select(RecordedContenders(scores), features, seed)
            run.append([selection.kept.tolist(), contest.unit * selection.resources])
        runs.append(run)
    decisions = len(contest.seeds) * len(contest.scores)
    return {"runs": runs, "seconds": (time.process_time() - started) / decisions}
