"""The comparison of NAP2 with everything else: what foresees best, what selects best, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from foretrain.curves import extrapolate
from foretrain.evaluation.nap2.attention import forecast_by_attention, layer_table
from foretrain.evaluation.nap2.comparison_report import print_comparison, write_comparison
from foretrain.evaluation.nap2.competition import Race, agents_table, compete, losses_on_halves, paired_difference
from foretrain.evaluation.nap2.cost import (
    UnitCosts,
    nearest_settings,
    net_cost,
    recording_seconds,
    scoring_seconds,
    seconds_of,
    training_seconds,
)
from foretrain.evaluation.nap2.crossvalidation import cross_validate
from foretrain.evaluation.nap2.findings import (
    ATTENTION,
    BEFORE,
    BOTH,
    EXTRAPOLATION,
    HALVING,
    HALVING_TRAINING,
    INSIDE,
    LAST,
    LSTM,
    OUTSIDE,
    SOTL,
    TRAINING,
    Findings,
    comparison_metrics,
)
from foretrain.evaluation.nap2.folds import Fold, split_folds
from foretrain.evaluation.nap2.forests import ForestSettings, fit_and_forecast, forecast_by_forests
from foretrain.evaluation.nap2.inputs import Inputs, configuration_space, gather_inputs
from foretrain.evaluation.nap2.judging import Evidence, FloatArray
from foretrain.evaluation.nap2.study import check_sizes, gather_evidence, timed
from foretrain.runtime.checkpoints import load_checkpoint
from foretrain.runtime.files import sha256
from foretrain.runtime.study import RunContext, Study
from foretrain.search.agent import SelectionRule
from foretrain.search.selectors import FullTraining, Selector
from foretrain.snapshots.attention_training import AttentionSettings
from foretrain.snapshots.forecasting import forecast_accuracy
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.recording import SnapshotPopulation
from foretrain.snapshots.storage import SnapshotFolder
from foretrain.snapshots.summaries import summarize
from foretrain.snapshots.training import AutoencoderSettings, PredictorSettings

_COMPARED = (
    (LSTM, HALVING, 1.0),
    (BOTH, HALVING, 1.0),
    (BOTH, HALVING, 0.5),
    (OUTSIDE, HALVING, 1.0),
    (BOTH, OUTSIDE, 1.0),
    (ATTENTION, HALVING, 1.0),
    (ATTENTION, LSTM, 1.0),
    (ATTENTION, OUTSIDE, 1.0),
    (BOTH, HALVING_TRAINING, 1.0),
    (HALVING_TRAINING, HALVING, 1.0),
)
"""Ours, theirs and the share of their loss, at equal resources."""

_FINISHED_NEEDED = 5  # by the extrapolation that learns from finished curves


class Nap2Baselines(Study):
    """NAP2 beside honest baselines: foreseeing, selecting, net cost, and whether looking inside adds anything.

    Args:
        data: The population and how it is recorded.
        autoencoder: Settings of the autoencoders of the paper's predictor.
        predictor: Settings of its LSTM.
        attention: Settings of the attention over layers that learns end to end.
        forest: Settings of the forests on outside, inside and both.
        rule: The rule of the tables of the agents and of halving.
        grid: Their rules in the figures and in the comparison at equal resources.
        baselines: The settings of every other selection method.
        proxies: Zero-cost scores that count among what is known before training.
        folds: Folds of the cross-validation over networks.
        validation_share: Share of a fold's other networks that early stopping of LSTM and attention looks at.
        repeats: Runs of each baseline on a fold, with other random numbers.
    """

    def __init__(
        self,
        data: SnapshotPopulation,
        autoencoder: AutoencoderSettings,
        predictor: PredictorSettings,
        attention: AttentionSettings,
        forest: ForestSettings,
        rule: SelectionRule,
        grid: list[SelectionRule],
        baselines: dict[str, list[Selector]],
        proxies: Annotated[list[str], Field(min_length=1)],
        folds: Annotated[int, Field(ge=2)] = 4,
        validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        repeats: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        self.data = data
        self.autoencoder = autoencoder
        self.predictor = predictor
        self.attention = attention
        self.forest = forest
        self.rule = rule
        self.grid = grid
        self.baselines = baselines
        self.proxies = proxies
        self.folds = folds
        self.validation_share = validation_share
        self.repeats = repeats
        check_sizes(data.population, folds, validation_share, rule)

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        timings: dict[str, float] = {}
        with timed(timings, "record"):
            recorded = self.data.record(context.parallel)
            index = self.data.index()
        folds = split_folds(len(index), self.folds, self.validation_share, context.seed)
        with timed(timings, "inputs"):
            inputs = gather_inputs(context, self.data, recorded, index, self.proxies)
        with timed(timings, "fit"):
            lstm = cross_validate(context, recorded, index, folds, self.autoencoder, self.predictor)
            evidence = gather_evidence(index, lstm.forecast, folds)
            snapshots = recorded.load_all(index["key"].to_list())
            layers = layer_table(*snapshots, seen=inputs.table(*OUTSIDE_BLOCKS), truth=evidence.truth)
            attention = forecast_by_attention(context, layers, folds, self.attention)
            forests = forecast_by_forests(context, forest_tables(inputs), evidence.truth, folds, self.forest)
        with timed(timings, "select"):
            forecasts = self._forecasts(evidence, attention.forecast, forests, index, folds)
            selections = self._select(context, evidence, forecasts, index)
        with timed(timings, "judge"):
            costs = self._costs(
                context, inputs, evidence, recorded, index, {LSTM: lstm.seconds, ATTENTION: attention.seconds}
            )
            findings = self._findings(context, evidence, inputs, forecasts, selections, costs, index)
            context.folder.write_metrics(comparison_metrics(findings))
            context.folder.write_predictions(_prediction_table(index, evidence, forecasts))
            context.folder.write_provenance(context.seed, {"snapshots/index.parquet": sha256(recorded.index_path)})
            write_comparison(context, self.data, findings)
        print_comparison(findings)
        saved = findings.costs.set_index("method")["saved"]
        return timings | {f"net_saved/{method}": float(value) for method, value in saved.items()}

    def _forecasts(
        self,
        evidence: Evidence,
        attention: FloatArray,
        forests: dict[str, FloatArray],
        index: pd.DataFrame,
        folds: Sequence[Fold],
    ) -> dict[str, FloatArray]:
        """All ways to foresee, ``[n, t]`` each, in the order of the figures."""
        training = np.stack(index["train_accuracy"].to_list())
        loss = np.stack(index["train_loss"].to_list())
        return {
            # The forest on everything pays for its many columns with a little noise; averaged with the forest that
            # does not look inside it ranked best on the populations of other seeds, on which this was chosen.
            BOTH: (forests["everything"] + forests["outside"]) / 2,
            OUTSIDE: forests["outside"],
            INSIDE: forests["inside"],
            ATTENTION: attention,
            LSTM: evidence.forecast,
            EXTRAPOLATION: extrapolated(evidence, training, index, folds, self._total_units),
            LAST: evidence.last_value,
            TRAINING: training,
            SOTL: -recent_loss(loss, self._units_per_epoch),
            BEFORE: forests["before"],
        }

    def _select(
        self, context: RunContext, evidence: Evidence, forecasts: dict[str, FloatArray], index: pd.DataFrame
    ) -> pd.DataFrame:
        """One row a method, setting and final size."""
        rules = [self.rule, *self.grid]
        ranks = ranked_by(evidence, forecasts)
        agents = {f"agent: {name}" if name in forecasts else name: values for name, values in ranks.items()}
        race = Race(
            scores=-evidence.loss,
            finished=index["final_val_accuracy"].to_numpy(dtype=np.float64),
            total_units=self._total_units,
            features=configuration_space(self.data, index),
            truth=evidence.truth,
            folds=evidence.folds,
        )
        sizes = sorted({rule.final_size for rule in rules})
        others: dict[str, list[Selector]] = {**self.baselines, "full training": [FullTraining()]}
        ranked = agents_table(agents, rules, evidence.truth, evidence.folds)
        return pd.concat([ranked, compete(context, others, race, sizes, self.repeats)], ignore_index=True)

    def _costs(
        self,
        context: RunContext,
        inputs: Inputs,
        evidence: Evidence,
        recorded: SnapshotFolder,
        index: pd.DataFrame,
        fits: dict[str, float],
    ) -> UnitCosts:
        """Measures a unit of each kind of work; see :class:`~.cost.UnitCosts`."""
        some = index["key"].to_list()[:8]
        maps, rows, lengths = recorded.load_all(some)
        snapshots = len(some) * evidence.snapshots
        model = load_checkpoint(context.folder.checkpoints / "final.ckpt", SnapshotPredictor)
        coding = seconds_of(lambda: forecast_accuracy(model, maps, rows, lengths)) / snapshots
        summing = seconds_of(lambda: summarize(maps, rows)) / snapshots
        scoring = scoring_seconds(self.data, self.proxies)
        table = inputs.table(*OUTSIDE_BLOCKS, "inside")
        half = len(table) // 2
        growing = seconds_of(
            lambda: fit_and_forecast(table[:half], evidence.truth[:half], table[half:], self.forest, context.seed)
        )
        return UnitCosts(
            training=training_seconds(self.data),
            recording=recording_seconds(self.data),
            foreseeing=_of_agents({LSTM: coding, BOTH: summing, ATTENTION: summing}),
            scoring=_of_agents(dict.fromkeys((BOTH, OUTSIDE, ATTENTION), scoring)),
            fitting=_of_agents(fits | {BOTH: growing, OUTSIDE: growing}),
        )

    def _findings(
        self,
        context: RunContext,
        evidence: Evidence,
        inputs: Inputs,
        forecasts: dict[str, FloatArray],
        selections: pd.DataFrame,
        costs: UnitCosts,
        index: pd.DataFrame,
    ) -> Findings:
        """Puts together what the report says."""
        resources = _resources_of(selections, self.rule)
        nearest = nearest_settings(selections, resources, self.rule.final_size)
        losses = losses_on_halves(ranked_by(evidence, forecasts), self.grid, evidence.truth, context.seed)
        members = float(np.mean([len(fold) for fold in evidence.folds]))
        return Findings(
            evidence=evidence,
            forecasts=forecasts,
            zero_cost=dict(zip(inputs.zero_cost_names, inputs.zero_cost.T, strict=True)),
            selections=selections,
            nearest=nearest,
            equal={
                (ours, theirs, share): paired_difference(losses[ours], losses[theirs], share)
                for ours, theirs, share in _COMPARED
            },
            costs=net_cost(nearest, costs, members, self._total_units),
            unit_costs=costs,
            index=index,
            seed=context.seed,
        )

    @property
    def _total_units(self) -> int:
        return self.data.total_steps // self.data.every_n_steps

    @property
    def _units_per_epoch(self) -> int:
        return max(1, round(self.data.total_steps / self.data.plan.epochs / self.data.every_n_steps))


def ranked_by(evidence: Evidence, forecasts: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Returns what the agents and both kinds of halving rank by, ``[n, t]`` each, higher is better."""
    agents = {name: forecasts[name] for name in (LSTM, BOTH, OUTSIDE, ATTENTION)}
    return agents | {HALVING: -evidence.loss, HALVING_TRAINING: forecasts[TRAINING]}


OUTSIDE_BLOCKS = ("curves", "hyperparameters", "architecture", "zero_cost")


def forest_tables(inputs: Inputs) -> dict[str, FloatArray]:
    """Returns what each forest sees, ``[n, t, d]``."""
    return {
        "outside": inputs.table(*OUTSIDE_BLOCKS),
        "inside": inputs.table("inside"),
        "everything": inputs.table(*OUTSIDE_BLOCKS, "inside"),
        "before": inputs.table(*OUTSIDE_BLOCKS[1:]),
    }


def recent_loss(loss: FloatArray, window: int) -> FloatArray:
    """Returns the sum of the training losses of the last epoch (SoTL-E with E = 1, Ru et al. 2021), ``[n, t]``.

    Args:
        loss: ``[n, t]``, mean training loss of each unit.
        window: Units in an epoch.
    """
    total = np.cumsum(np.nan_to_num(loss, nan=np.inf), axis=1)
    with np.errstate(invalid="ignore"):
        recent = total - np.pad(total, ((0, 0), (window, 0)))[:, : loss.shape[1]]
    return np.nan_to_num(recent, nan=np.finfo(np.float64).max)


def extrapolated(
    evidence: Evidence, training: FloatArray, index: pd.DataFrame, folds: Sequence[Fold], horizon: int
) -> FloatArray:
    """Extrapolates the validation curves, learning from the finished curves of the networks outside the fold.

    Args:
        evidence: What was measured.
        training: ``[n, t]``, training accuracies in percent.
        index: The index of the networks.
        folds: The folds.
        horizon: Units of a whole training.

    Returns:
        ``[n, t]``, forecasts in percent.
    """
    n, t = evidence.last_value.shape
    finished = np.full((n, max(horizon, t)), np.nan)
    finished[:, :t] = evidence.last_value
    finished[:, -1] = index["final_val_accuracy"]
    finished_training = np.full_like(finished, np.nan)
    finished_training[:, :t] = training
    forecast = np.full((n, t), np.nan)
    for fold in folds:
        others = np.union1d(fold.train, fold.validation)
        known = len(others) >= _FINISHED_NEEDED
        for position in range(t if len(fold.test) else 0):
            found = extrapolate(
                evidence.last_value[fold.test, : position + 1],
                finished.shape[1],
                training[fold.test, : position + 1],
                finished[others] if known else None,
                finished_train=finished_training[others] if known else None,
            )
            forecast[fold.test, position] = found.score
    return forecast


def _of_agents(seconds: Mapping[str, float]) -> dict[str, float]:
    return {f"agent: {name}": value for name, value in seconds.items()}


def _resources_of(selections: pd.DataFrame, rule: SelectionRule) -> float:
    """Resources of the rule of the tables, which comes first among those of every agent."""
    of_rule = selections[(selections["method"] == HALVING) & (selections["final_size"] == rule.final_size)]
    return float(of_rule["resources"].iloc[0])


def _prediction_table(index: pd.DataFrame, evidence: Evidence, forecasts: dict[str, FloatArray]) -> pd.DataFrame:
    """One row a network and number of snapshots, a column for each way to foresee."""
    n, t = evidence.last_value.shape
    columns = {
        "arch_id": np.repeat(index["key"].to_numpy(), t),
        "snapshots": np.tile(np.arange(1, t + 1), n),
        "truth": np.repeat(evidence.truth, t),
    }
    return pd.DataFrame(columns | {name: values.ravel() for name, values in forecasts.items()})
