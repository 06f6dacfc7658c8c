"""What functions do with numbers that are none, too large, all the same, or not there: a table whose rows are run.

The rows stand in ``docs/numbers.md``; ``python tests/integration/test_numbers.py`` prints them.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from lightning.pytorch import LightningModule, Trainer
from scipy import stats

import foretrain as ft
from foretrain.benchmarks.batches import CurveBatch
from foretrain.curves.forecasting import extrapolate
from foretrain.errors import ConfigError, DataError
from foretrain.metrics.error import mae, rmse
from foretrain.metrics.rank import bootstrap_interval, kendall, pearson, spearman
from foretrain.metrics.selection import accuracy_difference, best_first, regret, top_k_precision
from foretrain.predictors.gaussian_process import GaussianProcessRegressor
from foretrain.predictors.linear import BayesianLinear
from foretrain.predictors.mlp import MLPEnsemble
from foretrain.predictors.training import FitSettings
from foretrain.predictors.trees import RandomForest
from foretrain.runtime.files import read_json, write_json
from foretrain.runtime.fitting import fit
from foretrain.runtime.study import TrainerFactory
from foretrain.runtime.tables import TableData
from foretrain.snapshots.batches import SnapshotBatch
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.normalizer import FeatureNormalizer
from foretrain.snapshots.statistics import describe
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench201 import NASBench201
from foretrain.training.candidate import CandidateTraining, TrainingPlan
from foretrain.training.images import open_images
from foretrain.training.population import Candidate

NAN, INF = math.nan, math.inf
PAGE = Path(__file__).parent.parent.parent / "docs" / "numbers.md"
SPACE = NASBench201()
ARCHS = SPACE.sample(12, torch.Generator().manual_seed(0))
ACCURACIES = np.linspace(50, 90, 12)
PREDICTORS = {
    "linear": partial(BayesianLinear, encodings=["one_hot"]),
    "process": partial(GaussianProcessRegressor, encodings=["one_hot"]),
    "forest": partial(RandomForest, trees=3),
    "perceptrons": partial(MLPEnsemble, layers=2, settings=FitSettings(epochs=2)),
}


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        function: What is called.
        given: What it gets.
        behaviour: What it does, in words.
        call: Does it.
        expected: The value (NaN equals NaN), a check of it, or the error.
        text: What the error says.
    """

    function: str
    given: str
    behaviour: str
    call: Callable[[], Any]
    expected: Any
    text: str = ""

    @property
    def line(self) -> str:
        return f"| `{self.function}` | {self.given} | {self.behaviour} |"


def refused(function: str, given: str, call: Callable[[], Any], error: type[Exception], text: str) -> Row:
    return Row(function, given, f"`{error.__name__}`: ... {text} ...", call, error, text)


def metric_rows() -> list[Row]:
    rows = []
    for function in (spearman, kendall, pearson):
        name = function.__name__
        rows += [
            refused(name, "NaN", partial(function, [1, NAN, 3], [1, 2, 3]), ValueError, "values are NaN"),
            refused(name, "different lengths", partial(function, [1, 2], [1]), ValueError, "Give one score for each"),
            Row(name, "a constant truth or score", "NaN", partial(function, [1, 1, 1], [1, 2, 3]), NAN),
            Row(name, "one network, or none", "NaN", lambda f=function: (f([1], [1]), f([], [])), (NAN, NAN)),
        ]
        value, words = (NAN, "NaN") if function is pearson else (1.0, "ranks as the largest or smallest")
        rows.append(Row(name, "infinity", words, partial(function, [1, 2, 3], [1, 2, INF]), value))
    rows.append(
        Row(
            "pearson",
            "numbers near the largest of float64",
            "the right value",
            partial(pearson, [1e308, -1e308, 0], [1, 2, 3]),
            pytest.approx(-0.5),
        )
    )
    for function in (mae, rmse):
        name = function.__name__
        rows += [
            refused(name, "NaN", partial(function, [1, 2], [1, NAN]), ValueError, "values are NaN"),
            Row(name, "infinity", "infinity", partial(function, [1, 2], [1, INF]), INF),
            Row(name, "no networks", "NaN", partial(function, [], []), NAN),
        ]
    return [
        *rows,
        refused("regret", "no networks", partial(regret, [], []), ValueError, "truth is empty"),
        Row(
            "regret",
            "all scores tied",
            "the mean of what any of them would lose",
            partial(regret, [1, 2, 3], [5, 5, 5]),
            pytest.approx(1.0),
        ),
        refused("top_k_precision", "NaN", partial(top_k_precision, [1, NAN], [0], 1), ValueError, "values are NaN"),
        refused(
            "top_k_precision",
            "a position that is not there",
            partial(top_k_precision, [], [0], 1),
            ValueError,
            "does not fit 0 networks",
        ),
        Row(
            "top_k_precision",
            "all truths tied",
            "1: any of them is the best",
            partial(top_k_precision, [1, 1, 1], [2], 1),
            1.0,
        ),
        refused(
            "accuracy_difference",
            "an empty set",
            partial(accuracy_difference, [1.0], []),
            ValueError,
            "the selected set is empty",
        ),
        Row(
            "best_first",
            "NaN",
            "the worst of all, behind minus infinity",
            lambda: best_first([NAN, 1, INF, -INF]).tolist(),
            [2, 1, 3, 0],
        ),
        Row(
            "bootstrap_interval",
            "one network, or a statistic that is never defined",
            "NaN to NaN",
            lambda: (*bootstrap_interval(spearman, [1], [1]), *bootstrap_interval(spearman, [1, 1], [1, 2])),
            (NAN,) * 4,
        ),
    ]


def foreseen(curves: Any) -> tuple[bool, int]:
    forecast = extrapolate(np.array(curves), horizon=20)
    assert forecast.mean is not None
    return bool(np.isfinite(forecast.mean).all() and np.isfinite(forecast.score).all()), len(forecast.score)


def curve_rows() -> list[Row]:
    name = "extrapolate"
    return [
        refused(name, "a run without any value", partial(foreseen, [[NAN] * 4]), DataError, "row 0 has no value"),
        refused(
            name, "infinity, or below 0 or above 100", partial(foreseen, [[10, INF, 30]]), DataError, "outside 0 to 100"
        ),
        Row(
            name, "NaN between values", "not observed: a finite forecast", partial(foreseen, [[10, NAN, 30]]), (True, 1)
        ),
        Row(name, "constant curves, zeros too", "finite", partial(foreseen, [[50.0] * 4, [0.0] * 4]), (True, 2)),
        Row(name, "a single epoch", "finite", partial(foreseen, [[50.0]]), (True, 1)),
        Row(name, "no curves", "no forecasts", partial(foreseen, np.zeros((0, 4))), (True, 0)),
    ]


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    convolution = [torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU()]
    return torch.nn.Sequential(*convolution, torch.nn.Flatten(), torch.nn.Linear(256, 10))


def scored(factor: float = 1.0, samples: int = 4, pixel: float | None = None) -> bool:
    """Whether every proxy has a finite value or a reason."""
    model, images = network(), torch.randn(samples, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    images = images if pixel is None else torch.full_like(images, pixel)
    scores = ft.score(model, (images, torch.arange(samples) % 10)).scores.values()
    return all(math.isfinite(score.value) != (score.reason is not None) for score in scores)


def proxy_rows() -> list[Row]:
    name, words = "score", "each proxy has a finite value, or NaN and a reason code"
    cases = {
        "images of NaN": partial(scored, pixel=NAN),
        "images of infinity": partial(scored, pixel=INF),
        "images all the same": partial(scored, pixel=0.0),
        "a network that explodes": partial(scored, 1e30),
        "weights that are all zero": partial(scored, 0.0),
        "one sample": partial(scored, samples=1),
        "no samples": partial(scored, samples=0),
    }
    return [Row(name, given, words, call, True) for given, call in cases.items()]


def fitted(accuracies: Any, count: int = 12, asked: int = 5) -> bool:
    """Whether every predictor foresees finite scores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for make in PREDICTORS.values():
            forecast = make(SPACE).fit(ARCHS[:count], np.array(accuracies)[:count]).predict(ARCHS[:asked])
            if len(forecast.score) != asked or not np.isfinite(forecast.score).all():
                return False
    return True


def predictor_rows() -> list[Row]:
    name = "Regressor.fit"
    unknown = np.where(np.arange(12) == 3, NAN, ACCURACIES)
    return [
        Row(
            name,
            "some accuracies NaN or infinite",
            "left out with a warning; finite forecasts",
            lambda: fitted(unknown) and fitted(np.where(np.isnan(unknown), INF, unknown)),
            True,
        ),
        refused(name, "all accuracies NaN", partial(fitted, np.full(12, NAN)), DataError, "0 networks with a known"),
        refused(name, "one network, or none", partial(fitted, ACCURACIES, 1), DataError, "1 networks with a known"),
        refused(
            name,
            "an accuracy beyond a thousand millions",
            partial(fitted, ACCURACIES * 1e300),
            DataError,
            "Give percent",
        ),
        Row(name, "constant accuracies", "finite forecasts", partial(fitted, np.full(12, 50.0)), True),
        Row("Regressor.predict", "no networks", "no forecasts", partial(fitted, ACCURACIES, asked=0), True),
    ]


def normalised(value: float) -> bool:
    maps = torch.full((2, 1, 100, 12), value)
    rows = torch.full((2, 1), 100)
    normalizer = FeatureNormalizer().fit(maps, rows)
    return bool(normalizer(maps, rows).isfinite().all())


def forecast_of_snapshots(networks: int) -> tuple[int, bool]:
    maps = torch.zeros(networks, 2, 2, 1, 100, 12)
    rows, lengths = torch.full((networks, 1), 100), torch.full((networks,), 2)
    batch = SnapshotBatch(maps, rows, lengths, torch.zeros(networks), torch.arange(networks))
    forecast = SnapshotPredictor([4, 4, 4], 4).eval()(batch)
    return len(forecast), bool(forecast.isfinite().all())


def snapshot_rows() -> list[Row]:
    return [
        refused(
            "FeatureNormalizer.fit",
            "NaN or infinity in a valid cell",
            partial(normalised, NAN),
            DataError,
            "NaN or infinite values",
        ),
        Row(
            "FeatureNormalizer.fit",
            "a statistic that is constant",
            "standardised to finite values",
            partial(normalised, 7.0),
            True,
        ),
        Row("SnapshotPredictor", "a single network", "its forecast", partial(forecast_of_snapshots, 1), (1, True)),
        Row(
            "describe",
            "weights that are all the same",
            "finite statistics",
            lambda: bool(describe(torch.full((2, 5), 3.0)).isfinite().all()),
            True,
        ),
        Row(
            "describe",
            "weights of NaN or infinity",
            "finite: zeros for a row that holds NaN, 1e7 in the place of infinity",
            lambda: bool(describe(torch.tensor([[NAN, 1.0], [INF, 1.0]])).isfinite().all()),
            True,
        ),
    ]


def exploded() -> tuple[bool, bool]:
    """Whether a diverging training has finite accuracies and non-finite losses."""
    space = NASBench101(4, 1, 1)
    arch = space.format(space.sample(1, torch.Generator().manual_seed(0)))[0]
    candidate = Candidate("net-0000", arch, "sgd", 1e30, 0.9, 0.0, cosine=False, seed=0)
    plan = TrainingPlan(epochs=2, batch_size=20, eval_every_n_steps=3, accelerator="cpu")
    training = CandidateTraining(candidate, space, open_images("digits", None, 60), plan)
    training.finish()
    records = training.records
    finite = all(0 <= accuracy <= 100 for accuracy in [*records.val_accuracy, training.final_test_accuracy])
    return finite, all(map(math.isfinite, records.val_loss))


class Diverging(LightningModule):
    """Its loss is not finite from the second epoch on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        return self.layer(batch.curves).mean()

    def validation_step(self, batch, _):
        self.log("val/loss", self.layer(batch.curves).abs().mean() * (NAN if self.current_epoch else 1.0))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1.0)


def stopped() -> bool:
    """Whether a fit whose loss becomes NaN ends with the weights of its last finite one."""
    table = CurveBatch(torch.ones(4, 1), torch.zeros(4), torch.arange(4))
    module = Diverging()
    options = {"accelerator": "cpu", "num_sanity_val_steps": 0, "enable_progress_bar": False}
    make = TrainerFactory(partial(Trainer, **options, enable_model_summary=False), {})
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(module, TableData(table, table, 4, 0), make, folder, max_epochs=9, patience=9, seed=0)
        epochs = len(pd.read_csv(next(Path(folder).glob("log_*")) / "metrics.csv"))
    return epochs == 2 and all(bool(weight.isfinite().all()) for weight in module.parameters())


def shared(samples: int, ranks: int) -> list[int]:
    """Samples in each training batch of a device."""
    table = CurveBatch(torch.zeros(samples, 1), torch.zeros(samples), torch.arange(samples))
    data = TableData(table, table, 4, 0)
    data.trainer = type("Runner", (), {"global_rank": 0, "world_size": ranks, "current_epoch": 0})()
    return [len(batch) for batch in data.train_dataloader()]


def other_rows() -> list[Row]:
    return [
        Row(
            "CandidateTraining",
            "a network that explodes",
            "trained to its end; losses as they are, accuracies as they are measured",
            exploded,
            (True, False),
        ),
        Row("fit", "a validation loss that becomes NaN", "ends; the best weights come back", stopped, True),
        Row(
            "TableData",
            "5 samples in batches of 4",
            "one batch of 5: no batch of a single sample",
            partial(shared, 5, 1),
            [5],
        ),
        Row("TableData", "a single sample", "one batch of it", partial(shared, 1, 1), [1]),
        refused("TableData", "fewer samples than devices", partial(shared, 1, 2), ConfigError, "only 1 samples"),
        Row("SearchSpace.sample", "no networks", "an empty batch", lambda: len(SPACE.sample(0, torch.Generator())), 0),
        Row(
            "Predictor, SearchSpace.encode",
            "no networks",
            "no rows",
            lambda: SPACE.encode(ARCHS[:0], "one_hot").shape[0],
            0,
        ),
    ]


ROWS = [*metric_rows(), *curve_rows(), *proxy_rows(), *predictor_rows(), *snapshot_rows(), *other_rows()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.function}-{row.given}")
def test_a_row_of_the_table_is_true(row: Row):
    if isinstance(row.expected, type):
        with pytest.raises(row.expected) as caught:
            row.call()
        assert row.text in str(caught.value)
    else:
        value = row.call()
        assert value == row.expected or np.array_equal(value, row.expected, equal_nan=True)


def test_the_page_has_the_table():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert lines == [row.line for row in ROWS]


finite = st.floats(-1e300, 1e300)
pairs = arrays.array_shapes(min_dims=1, max_dims=1, min_side=2, max_side=30).flatmap(
    lambda shape: st.tuples(
        arrays.arrays(np.float64, shape, elements=finite), arrays.arrays(np.float64, shape, elements=finite)
    )
)


@settings(max_examples=50)
@given(pairs)
def test_rank_correlations_are_those_of_scipy_or_not_defined(pair):
    truth, score = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = (stats.spearmanr(truth, score).statistic, stats.kendalltau(truth, score).statistic)
    for value, other in zip((spearman(truth, score), kendall(truth, score)), expected, strict=True):
        assert value == pytest.approx(other, nan_ok=True)
        assert math.isnan(value) or -1 <= value <= 1
    assert math.isnan(pearson(truth, score)) or -1 <= pearson(truth, score) <= 1


accuracy = st.one_of(st.just(NAN), st.floats(0, 100))


@settings(max_examples=30)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=accuracy))
def test_any_curves_have_forecasts_in_order(curves):
    curves[np.isnan(curves).all(axis=1), 0] = 50.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small values look like fractions
        forecast = extrapolate(curves, horizon=20)
    assert forecast.mean is not None
    assert np.isfinite(forecast.score).all()
    assert (forecast.lower <= forecast.mean).all()
    assert (forecast.mean <= forecast.upper).all()
    assert (forecast.lower >= 0).all()
    assert (forecast.upper <= 100).all()


@settings(max_examples=15)
@given(arrays.arrays(np.float64, 12, elements=accuracy))
def test_any_accuracies_give_finite_forecasts_or_are_refused(accuracies):
    if np.isfinite(accuracies).sum() < 2:
        with pytest.raises(DataError, match="networks with a known accuracy"):
            fitted(accuracies)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forecast = BayesianLinear(SPACE, encodings=["one_hot"]).fit(ARCHS, accuracies).predict(ARCHS)
        assert np.isfinite(forecast.score).all()


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.floats()))
def test_numbers_survive_a_file(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("numbers") / "metrics.json"
    write_json(path, numbers)
    assert json.dumps(read_json(path), sort_keys=True) == json.dumps(numbers, sort_keys=True)


if __name__ == "__main__":
    sys.stdout.write("\n".join(row.line for row in ROWS) + "\n")
