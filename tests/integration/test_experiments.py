"""Every experiment runs at a tiny budget, from the command line to its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts import ROOT, run_here

NAP2_TINY = [
    "data.population=6",
    "data.space.stem_channels=5",
    "data.space.stacks=1",
    "data.space.cells_per_stack=1",
    "data.train_images=60",
    "data.plan.batch_size=20",
    "data.plan.epochs=2",
    "data.every_n_steps=2",
    "data.max_snapshots=2",
    "autoencoder.widths=[8,8,4]",
    "autoencoder.max_epochs=1",
    "predictor.max_epochs=1",
    "folds=2",
    "rule.final_size=1",
    "grid.final_size=[1]",
]
DIGITS_TINY = [
    "data.networks=4",
    "data.repeated=2",
    "data.train_images=60",
    "data.training.epochs=2",
    "data.training.batch_size=20",
]
NAP2_BASELINES_TINY = [
    *NAP2_TINY,
    "attention.members=2",
    "attention.max_epochs=2",
    "forest.trees=3",
    "proxies=[synflow,nwot]",
    "baselines.hyperband.eta=[2]",
    "baselines.smac3.trials=[4]",
    "baselines.smac3.initial=[2]",
    "repeats=1",
]
NAP2_TRANSFER_TINY = [
    *(f"{side}.{item}" for side in ("source", "target") for item in ("population=8", "train_images=60")),
    *(f"{side}.every_n_steps=2" for side in ("source", "target")),
    "source.max_snapshots=2",
    "target.max_snapshots=3",
    *(f"{side}.{item}" for side in ("source", "target") for item in ("plan.epochs=2", "plan.batch_size=20")),
    *NAP2_TINY[-6:],
    "attention.members=2",
    "attention.max_epochs=2",
    "forest.trees=3",
    "batch=3",
]
SEARCH_TINY = ["benchmark=digits201", "budget=14", "runs=2"]
SCORED = ["benchmark=digits201", "benchmark.name={scored_benchmark}"]
SCORING_TINY = [*SCORED, "networks=3", "data.batch_size=8", "work.block=2"]
PREDICTORS_TINY = [*SCORED, "n_train=15"]
CURVES_TINY = ["benchmark=digits201", "networks=9"]
BUDGETS = {
    "combined_predictor": [*SCORED, "n_train=[8,15]", "n_test=9", "trials=2", "~labels.extrapolated"],
    "compare_predictors": [
        *PREDICTORS_TINY,
        "n_test=9",
        "trials=2",
        "only=[gaussian_process,auto]",
        "given_scores=[synflow]",
    ],
    "emprox_embedding": [*PREDICTORS_TINY, "n_shown=9"],
    "emprox_grid": [*PREDICTORS_TINY, "n_test=9", "trials=1", "only=[k3_d16,k10_d16]"],
    "synthetic_proxies": [*SCORED, "n_train=[15]", "n_test=9", "trials=2"],
    "compare_searches": [
        "budget=14",
        "runs=1",
        "baselines.gcn.predictor.epochs=3",
        "baselines.bananas.predictor.members=2",
        "baselines.nao.predictor.settings.epochs=20",
    ],
    "curve_budget": [*CURVES_TINY, "budgets=[0.02,0.05]"],
    "curve_ensembles": [*CURVES_TINY, "shares=[0.3]", "finished=5", "splits=2", "convergence_seconds=0.1"],
    "curve_initialisation": [*CURVES_TINY, "learning_rates=[0.2]", "prefit_shares=[0.5]", "seconds=0.05"],
    "digits101": DIGITS_TINY,
    "digits201": DIGITS_TINY,
    "fit_predictor": [*PREDICTORS_TINY, "n_test=9", "predictor=gaussian_process", "given_scores=[synflow]"],
    "gcn_search_samplers": [*SEARCH_TINY, "predictor.epochs=3", "predictor.update_epochs=2"],
    "gcn_search_subset": [*SEARCH_TINY, "predictor.epochs=3", "predictor.update_epochs=2"],
    "hybrid_proxy": [*SCORED, "train=10", "splits=2", "combination.labels=[0,5]", "combination.splits=2"],
    "nap2": NAP2_TINY,
    "nap2_baselines": NAP2_BASELINES_TINY,
    "nap2_transfer": NAP2_TRANSFER_TINY,
    "nap2_cifar10": [*NAP2_TINY, "data.root={foretrain_data}"],
    "published_scores": [*SCORING_TINY, "data.root={foretrain_data}", "published.dataset=digits"],
    "score_space": SCORING_TINY,
    "search": SEARCH_TINY,
}


def test_every_experiment_has_a_tiny_budget():
    assert {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")} == BUDGETS.keys()


@pytest.mark.filterwarnings("ignore:.*1 of 5 training files")
@pytest.mark.filterwarnings("ignore:the decoder gives back")
@pytest.mark.parametrize("name", BUDGETS)
def test_experiment_runs(
    name: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETRAIN_CACHE", str(tmp_path / "cache"))
    overrides = BUDGETS[name]
    for fixture in ("foretrain_data", "scored_benchmark"):
        if any(f"{{{fixture}}}" in item for item in overrides):
            value = str(request.getfixturevalue(fixture))
            overrides = [item.replace(f"{{{fixture}}}", value) for item in overrides]
    folder = tmp_path / "run"
    fixed = [f"experiment={name}", f"run_dir={folder}", "parallel.workers=1"]
    ended = run_here("train.py", *fixed, *overrides, folder=tmp_path)
    assert ended.code == 0, ended.printed + ended.errors
    assert json.loads((folder / "metrics.json").read_text())
    assert (folder / "report.md").read_text().startswith("# ")


def test_help_says_what_each_experiment_is(tmp_path):
    shown = run_here("train.py", "--help", folder=tmp_path)
    assert shown.code == 0
    for file in (ROOT / "conf" / "experiment").glob("*.yaml"):
        (line,) = [line for line in shown.printed.splitlines() if line.startswith(f"  {file.stem} ")]
        assert line.removeprefix(f"  {file.stem} ").strip()
