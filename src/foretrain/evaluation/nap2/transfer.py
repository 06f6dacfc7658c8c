"""A predictor of one population on another without fine-tuning, and a check that knows when not to trust it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from foretrain.evaluation.nap2.attention import layer_table
from foretrain.evaluation.nap2.competition import agents_table, losses_on_halves
from foretrain.evaluation.nap2.crossvalidation import cross_validate
from foretrain.evaluation.nap2.figures import (
    population_histograms,
    selection_over_resources,
    spearman_over_snapshots,
    squared_error_over_snapshots,
)
from foretrain.evaluation.nap2.findings import ATTENTION, BOTH, HALVING, LAST, LSTM, OUTSIDE, squared_error
from foretrain.evaluation.nap2.folds import Fold, split_folds
from foretrain.evaluation.nap2.forests import ForestSettings, fit_and_forecast
from foretrain.evaluation.nap2.inputs import curve_inputs, depth_table, hyperparameter_inputs
from foretrain.evaluation.nap2.judging import SNAPSHOTS_SHOWN, FloatArray
from foretrain.evaluation.nap2.study import check_sizes, timed
from foretrain.evaluation.report import markdown_table, print_table, with_interval
from foretrain.metrics.error import mse
from foretrain.metrics.rank import bootstrap_interval, spearman
from foretrain.runtime.checkpoints import load_checkpoint
from foretrain.runtime.files import sha256
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext, Study
from foretrain.search.agent import SelectionRule
from foretrain.snapshots.attention_training import AttentionSettings, fit_attention_predictor
from foretrain.snapshots.batches import LayerBatch
from foretrain.snapshots.forecasting import forecast_accuracy
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.novelty import NoveltyCheck
from foretrain.snapshots.recording import SnapshotPopulation
from foretrain.snapshots.storage import PER_SNAPSHOT, Integers, Maps, SnapshotFolder
from foretrain.snapshots.summaries import summarize
from foretrain.snapshots.training import AutoencoderSettings, PredictorSettings

CHECKED = "agent with check"
_DRAWS = 200
_LOSSES = (
    "Accuracy difference from the best network at equal resources: mean over all rules of the grid and 100 random "
    "halves of the target, and its 95% interval over the halves."
)


class Nap2Transfer(Study):
    """Learns on one population and foresees another; where its snapshots look foreign, halving takes over.

    Args:
        source: The population that everything is learned from.
        target: The population that is foreseen.
        autoencoder: Settings of the autoencoders.
        predictor: Settings of the LSTM.
        attention: Settings of the attention over layers.
        forest: Settings of the forests.
        rule: The rule of the tables.
        grid: The rules of the figures.
        folds: Parts of the target that are selected from, and folds of the source that the check is judged on.
        validation_share: Share of the source that early stopping of LSTM and attention looks at.
        batch: Networks that the check judges together.
    """

    def __init__(
        self,
        source: SnapshotPopulation,
        target: SnapshotPopulation,
        autoencoder: AutoencoderSettings,
        predictor: PredictorSettings,
        attention: AttentionSettings,
        forest: ForestSettings,
        rule: SelectionRule,
        grid: list[SelectionRule],
        folds: Annotated[int, Field(ge=2)] = 4,
        validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        batch: Annotated[int, Field(ge=1)] = 16,
    ) -> None:
        self.source = source
        self.target = target
        self.autoencoder = autoencoder
        self.predictor = predictor
        self.attention = attention
        self.forest = forest
        self.rule = rule
        self.grid = grid
        self.folds = folds
        self.validation_share = validation_share
        self.batch = batch
        for population in (source, target):
            check_sizes(population.population, folds, validation_share, rule)

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        timings: dict[str, float] = {}
        with timed(timings, "record"):
            source, target = (
                Recording.of(population, context, self._snapshots) for population in (self.source, self.target)
            )
        with timed(timings, "fit"):
            forecasts = self._forecast(context, source, target)
        with timed(timings, "judge"):
            rates = check_rates(source, target, self.folds, self.batch, context.seed)
            foreign = NoveltyCheck(seed=context.seed).fit(source.first).is_foreign(target.first)
            selections = self._select(target, forecasts, foreign, context.seed)
            found = Transfer(source, target, forecasts, rates, foreign, selections, context.seed)
            losses = losses_on_halves(found.ranks, self.grid, target.truth, context.seed)
            context.folder.write_metrics(transfer_metrics(found, losses, self.rule))
            context.folder.write_predictions(_prediction_table(found))
            hashes = {name: sha256(item.folder.index_path) for name, item in (("source", source), ("target", target))}
            context.folder.write_provenance(context.seed, hashes)
            write_transfer(context, found, losses, self.batch)
        print_table(forecast_rows(found), f"Spearman on {target.title}, learned from {source.title}")
        return timings

    @property
    def _snapshots(self) -> int:
        """Snapshots that both populations have."""
        return min(self.source.max_snapshots, self.target.max_snapshots)

    def _forecast(self, context: RunContext, source: Recording, target: Recording) -> dict[str, FloatArray]:
        """What the source teaches about the target, ``[n, t]`` each."""
        final = split_folds(len(source.index), self.folds, self.validation_share, context.seed)[-1:]
        cross_validate(context, source.folder, source.index, final, self.autoencoder, self.predictor)
        model = load_checkpoint(context.folder.checkpoints / "final.ckpt", SnapshotPredictor)
        maps, rows, lengths = target.load()
        outside, inside = (
            fit_and_forecast(learned, source.truth, asked, self.forest, derive_seed(context.seed, name))
            for name, learned, asked in (
                ("outside", source.outside, target.outside),
                ("everything", source.everything, target.everything),
            )
        )
        return {
            LSTM: forecast_accuracy(model, maps, rows, lengths),
            ATTENTION: self._attend(context, source, target, final[0]),
            OUTSIDE: outside,
            BOTH: (outside + inside) / 2,
            LAST: target.curve("val_accuracy"),
        }

    def _attend(self, context: RunContext, source: Recording, target: Recording, split: Fold) -> FloatArray:
        """What attention over the source's layers says of the target, ``[n, t]``."""
        module = fit_attention_predictor(
            source.layers(),
            torch.from_numpy(split.train),
            torch.from_numpy(split.validation),
            settings=self.attention,
            trainer=context.trainer,
            folder=context.folder.path / "fits" / "attention",
            seed=derive_seed(context.seed, "attention"),
        )
        forecast: FloatArray = module.cpu()(target.layers()).double().numpy()
        return forecast

    def _select(self, target: Recording, forecasts: dict[str, FloatArray], foreign: bool, seed: int) -> pd.DataFrame:
        order = np.random.default_rng(derive_seed(seed, "parts")).permutation(len(target.truth))
        parts = [np.sort(part) for part in np.array_split(order, self.folds)]
        return agents_table(_ranks(forecasts, target, foreign), [self.rule, *self.grid], target.truth, parts)


@dataclass(frozen=True, eq=False)
class Recording:
    """A recorded population as the study sees it.

    Attributes:
        title: What the networks are.
        steps: Mini-batch steps of a unit.
        snapshots: The first so many snapshots are looked at.
        folder: The recording.
        index: The index of its networks, with curves up to the last of these snapshots.
        truth: ``[n]``, final test accuracies in percent.
        outside: ``[n, t, d]``, curves and hyperparameters: what networks of all spaces have.
        everything: ``[n, t, d]``, these and the summaries of weights and gradients.
        first: ``[n, d]``, the summaries of the first snapshot.
    """

    title: str
    steps: int
    snapshots: int
    folder: SnapshotFolder
    index: pd.DataFrame
    truth: FloatArray
    outside: FloatArray
    everything: FloatArray
    first: FloatArray

    @classmethod
    def of(cls, population: SnapshotPopulation, context: RunContext, snapshots: int) -> Recording:
        """Records a population, or finds its recording."""
        folder = population.record(context.parallel)
        index = population.index()
        index = index.assign(**{name: [values[:snapshots] for values in index[name]] for name in PER_SNAPSHOT})
        maps, rows, _ = load_first(folder, index, snapshots)
        inside, curves = summarize(maps, rows), curve_inputs(index)
        fixed = hyperparameter_inputs(index)
        outside = np.concatenate([curves, np.repeat(fixed[:, None], curves.shape[1], axis=1)], axis=2)
        return cls(
            population.title,
            population.every_n_steps,
            snapshots,
            folder,
            index,
            index["test_accuracy"].to_numpy(dtype=np.float64),
            outside,
            np.concatenate([outside, inside, inside - inside[:, :1]], axis=2),
            inside[:, 0],
        )

    def load(self) -> tuple[Maps, Integers, Integers]:
        """Returns feature maps, rows and lengths of these snapshots, as of :meth:`.SnapshotFolder.load_all`."""
        return load_first(self.folder, self.index, self.snapshots)

    def layers(self) -> LayerBatch:
        """Returns the networks layer by layer, beside what is seen from outside."""
        return layer_table(*self.load(), seen=self.outside, truth=self.truth)

    def curve(self, name: str) -> FloatArray:
        """Returns a recorded curve, ``[n, t]``; NaN where a loss is not finite."""
        values: FloatArray = np.stack(self.index[name].to_list())
        return np.where(np.isfinite(values), values, np.nan)


def load_first(folder: SnapshotFolder, index: pd.DataFrame, snapshots: int) -> tuple[Maps, Integers, Integers]:
    """Returns feature maps, rows and lengths of the first snapshots of a recording."""
    maps, rows, lengths = folder.load_all(index["key"].to_list())
    return maps[:, :snapshots], rows, np.minimum(lengths, snapshots)


@dataclass(frozen=True, eq=False)
class Transfer:
    """What the study found.

    Attributes:
        source: The population that was learned from.
        target: The population that was foreseen.
        forecasts: Ways to foresee the target, ``[n, t]``.
        rates: The table of :func:`check_rates`.
        foreign: What the check says of the whole target.
        selections: One row a method, rule and final size.
        seed: Seed of the intervals.
    """

    source: Recording
    target: Recording
    forecasts: dict[str, FloatArray]
    rates: dict[str, float]
    foreign: bool
    selections: pd.DataFrame
    seed: int

    @property
    def ranks(self) -> dict[str, FloatArray]:
        """What each selection method ranks by."""
        return _ranks(self.forecasts, self.target, self.foreign)


def check_rates(source: Recording, target: Recording, folds: int, batch: int, seed: int) -> dict[str, float]:
    """Returns how often the check errs on one network and on a batch of them.

    False alarms are counted on networks of the source that the check has not seen (out of fold), misses on networks of
    the target. Batches are random draws without replacement.

    Args:
        source: What the check learns.
        target: What it should call foreign.
        folds: Folds of the source.
        batch: Networks judged together.
        seed: Seed of folds and draws.
    """
    generator = np.random.default_rng(derive_seed(seed, "batches"))
    single, alarms = [], []
    for fold in split_folds(len(source.first), folds, 0.5, seed)[:-1]:
        check = NoveltyCheck(seed=seed).fit(source.first[np.union1d(fold.train, fold.validation)])
        single.append(check.p_values(source.first[fold.test]) <= check.alpha)
        alarms += _verdicts(check, source.first[fold.test], batch, _DRAWS // folds, generator)
    check = NoveltyCheck(seed=seed).fit(source.first)
    caught = _verdicts(check, target.first, batch, _DRAWS, generator)
    return {
        "network/false_alarm": float(np.concatenate(single).mean()),
        "network/miss": float((check.p_values(target.first) > check.alpha).mean()),
        "batch/false_alarm": float(np.mean(alarms)),
        "batch/miss": 1 - float(np.mean(caught)),
    }


def _verdicts(
    check: NoveltyCheck, summaries: FloatArray, batch: int, draws: int, generator: np.random.Generator
) -> list[bool]:
    size = min(batch, len(summaries))
    return [check.is_foreign(summaries[generator.permutation(len(summaries))[:size]]) for _ in range(draws)]


def transfer_metrics(found: Transfer, losses: dict[str, FloatArray], rule: SelectionRule) -> dict[str, float]:
    """Returns the flat metrics of the study."""
    truth = found.target.truth
    metrics: dict[str, float] = {"target/networks": len(truth), "target/foreign": int(found.foreign)}
    metrics |= {f"check/{name}": value for name, value in found.rates.items()}
    for name, values in found.forecasts.items():
        for count in _moments(values.shape[1]):
            metrics[f"forecast/{_slug(name)}/spearman@{count}"] = spearman(truth, values[:, count - 1])
            metrics[f"forecast/{_slug(name)}/mse@{count}"] = mse(truth / 100, values[:, count - 1] / 100)
    of_rule = found.selections[found.selections["final_size"] == rule.final_size].groupby("method", sort=False).first()
    for method, row in of_rule.iterrows():
        metrics[f"select/{_slug(str(method))}/accuracy_difference"] = float(row["accuracy_difference"])
        metrics[f"select/{_slug(str(method))}/resources"] = float(row["resources"])
    return metrics | {f"equal_resources/{_slug(name)}": float(values.mean()) for name, values in losses.items()}


def write_transfer(context: RunContext, found: Transfer, losses: dict[str, FloatArray], batch: int) -> None:
    """Draws the figures and writes ``report.md``."""
    source, target, folder = found.source, found.target, context.folder.figures
    spearman_over_snapshots(_over_snapshots(found, spearman), folder / "spearman.png", target.steps, target.title)
    errors = _over_snapshots(found, squared_error)
    squared_error_over_snapshots(errors, folder / "squared_error.png", target.steps, target.title)
    selection_over_resources(found.selections, folder / "selection.png", target.steps, target.title)
    populations = {item.title: (item.truth, item.index["layers"].map(len).to_numpy()) for item in (source, target)}
    population_histograms(populations, folder / "population.png")
    sections = [
        f"# NAP2 from {source.title} to {target.title}",
        "Everything is learned from the first population; the second is foreseen without fine-tuning.",
        "## How well is the final accuracy foreseen?",
        markdown_table(forecast_rows(found)),
        "Spearman's rank correlation with the final test accuracy, 95% bootstrap interval over networks.",
        "![Spearman over snapshots](figures/spearman.png)",
        "![Squared error over snapshots](figures/squared_error.png)",
        "## Do the snapshots look foreign?",
        _check_text(found, batch),
        "## Which networks are worth training to the end?",
        markdown_table(_loss_rows(losses)),
        _LOSSES,
        "![Selection over resources](figures/selection.png)",
        "## The populations",
        markdown_table(depth_table({source.title: source.index, target.title: target.index})),
        "![Final accuracies and depths](figures/population.png)",
    ]
    context.folder.write_report("\n\n".join(sections) + "\n")


def forecast_rows(found: Transfer) -> pd.DataFrame:
    """Returns a row for each way to foresee: Spearman with its interval after some snapshots."""
    rows = []
    for name, values in found.forecasts.items():
        row = {"foreseen from": name}
        for count in _moments(values.shape[1]):
            pair = (found.target.truth, values[:, count - 1])
            row[f"after {count}"] = with_interval(
                spearman(*pair), *bootstrap_interval(spearman, *pair, seed=found.seed)
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _check_text(found: Transfer, batch: int) -> str:
    rates = {name: f"{value:.0%}" for name, value in found.rates.items()}
    verdict = "foreign, so halving on the validation loss takes over" if found.foreign else "known, so NAP2 is trusted"
    return (
        "Before the first cut, the first snapshots are compared with those of the source (conformal test on the "
        "distance to the nearest known networks). Out of fold it raises a false alarm on "
        f"{rates['network/false_alarm']} of the source's networks and misses {rates['network/miss']} of the target's; "
        f"judging {batch} networks together, {rates['batch/false_alarm']} and {rates['batch/miss']}. The whole target "
        f"looks {verdict}."
    )


def _loss_rows(losses: dict[str, FloatArray]) -> pd.DataFrame:
    rows = [
        {"method": name, "points below the best": with_interval(values.mean(), *np.quantile(values, [0.025, 0.975]))}
        for name, values in losses.items()
    ]
    return pd.DataFrame(rows)


def _ranks(forecasts: dict[str, FloatArray], target: Recording, foreign: bool) -> dict[str, FloatArray]:
    halving = -target.curve("val_loss")
    agents = {f"agent: {name}": forecasts[name] for name in (LSTM, ATTENTION, BOTH, OUTSIDE)}
    return agents | {HALVING: halving, CHECKED: halving if foreign else forecasts[LSTM]}


def _over_snapshots(found: Transfer, statistic: Callable[..., FloatArray]) -> pd.DataFrame:
    """One row a way to foresee and snapshot: the statistic of accuracies from 0 to 1, with its 95% interval."""
    rows = []
    for name, values in found.forecasts.items():
        for position in range(values.shape[1]):
            pair = (found.target.truth / 100, values[:, position] / 100)
            lower, upper = bootstrap_interval(statistic, *pair, seed=found.seed)
            row = {"method": name, "snapshots": position + 1, "value": float(statistic(*pair, axis=0))}
            rows.append(row | {"lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def _moments(snapshots: int) -> list[int]:
    return [count for count in dict.fromkeys((*SNAPSHOTS_SHOWN, snapshots)) if count <= snapshots]


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower()).strip("_").replace("__", "_")


def _prediction_table(found: Transfer) -> pd.DataFrame:
    n, t = found.forecasts[LSTM].shape
    columns = {
        "arch_id": np.repeat(found.target.index["key"].to_numpy(), t),
        "snapshots": np.tile(np.arange(1, t + 1), n),
        "truth": np.repeat(found.target.truth, t),
    }
    return pd.DataFrame(columns | {name: values.ravel() for name, values in found.forecasts.items()})
