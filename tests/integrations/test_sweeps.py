"""Pruners and stoppers: what they give up, in any unit, from any number of processes."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from scripted import EPOCHS, rising

import foretrain as ft
from foretrain.curves.few_shot import Calibration
from foretrain.errors import ConfigError, DataError
from foretrain.integrations.histories import read_histories
from foretrain.integrations.run_forecast import MOST_FINISHED, MetricScale, RunForecaster, teachers
from foretrain.integrations.sweep import SweepJudge

HISTORY = rising(np.linspace(0.5, 0.9, 12), seed=1)
GOOD, BAD = rising([0.95, 0.6], seed=2)
HALF = EPOCHS // 2


def test_a_scale_keeps_order_and_comes_back():
    for mode, bounds in [("max", None), ("min", None), ("max", (-2, 3)), ("min", (-2, 3))]:
        scale = MetricScale.of("m", GOOD, HISTORY, mode, bounds)
        values = np.linspace(0.05, 0.25, 5)
        percent = scale.to_percent(values)
        np.testing.assert_allclose(scale.from_percent(percent), values)
        assert (np.diff(percent) * (1 if mode == "max" else -1) > 0).all()


def test_a_scale_is_chosen_from_all_that_is_known():
    nothing = np.empty((0, 2))
    assert MetricScale.of("m", np.array([0.3]), np.array([[0.9, 1.0]]), "max").best == 1
    assert MetricScale.of("m", np.array([0.3]), np.array([[0.9, 1.1]]), "max").best == 100
    losses = np.array([[np.nan, 2.0], [4.0, 1.0], [3.0, np.inf], [2.5, 1.0], [9.0, 1.0]])
    assert MetricScale.of("m", np.array([7.0]), losses, "min") == MetricScale(worst=3.0, best=0.0)
    assert MetricScale.of("m", np.array([np.nan, 7.0]), losses[:4], "min") == MetricScale(worst=7.0, best=0.0)
    with pytest.raises(DataError, match="is -1, negative"):
        MetricScale.of("m", np.array([-1.0]), nothing, "min")
    with pytest.raises(DataError, match="is 101, neither"):
        MetricScale.of("m", np.array([101.0]), nothing, "max")


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:4]], ids=["few-shot", "zero-shot"])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_forecasts_are_those_of_extrapolate(history, mode):
    forecaster = RunForecaster("m", EPOCHS, mode)
    forecaster.calibrate(history, range(1, EPOCHS + 1))
    scale = MetricScale.of("m", GOOD, history, mode)
    finished = None if len(history) < 5 else scale.to_percent(history)
    for length in (1, HALF, EPOCHS - 1, EPOCHS):
        found = forecaster.forecast(GOOD[:length], history, 0.8)
        expected = ft.extrapolate(scale.to_percent(GOOD[:length]), EPOCHS, finished=finished)
        ends = sorted(scale.from_percent(np.array([expected.lower[0], expected.upper[0]])))
        assert (found.mean, found.lower, found.upper) == (scale.from_percent(expected.mean)[0], *ends)
        target = scale.to_percent(np.array([0.8]))
        assert found.probability == expected.probability_above(target, smooth=True)[0]


def test_what_finished_runs_teach_is_worked_out_once(monkeypatch):
    """Ahead, for all lengths that will be asked for; anew only where other runs have finished."""
    fitted = []
    fit = Calibration.fit
    monkeypatch.setattr(Calibration, "fit", lambda *given: (fitted.append(given[1]), fit(*given))[1])
    history = HISTORY - 0.01
    forecaster = RunForecaster("m", EPOCHS)
    forecaster.calibrate(history, [5, 10])
    assert sorted(fitted) == [5, 10]
    for curve in (GOOD, BAD):
        for length in (5, 10):
            RunForecaster("m", EPOCHS).forecast(curve[:length], history)
    assert len(fitted) == 2
    forecaster.forecast(GOOD[:5], history[1:])
    assert sorted(fitted) == [5, 5, 10]


def test_who_can_teach():
    """Five at least, with a final value and something before: the latest of them."""
    finished = HISTORY.copy()
    finished[0, -1] = np.nan
    finished[1, :HALF] = np.nan
    assert len(teachers(finished, HALF)) == 10
    assert len(teachers(finished, EPOCHS)) == 11
    assert teachers(finished[:6], HALF) is None
    many = np.repeat(HISTORY, 10, axis=0)
    np.testing.assert_array_equal(teachers(many, HALF), many[-MOST_FINISHED:])


def _judge(**options):
    return SweepJudge(RunForecaster("m", EPOCHS), **{"probability": 0.05, "warmup": 3, "startup": 1, **options})


LOOK = 9  # 3, 4, 5, 7, 9, ...


@pytest.mark.parametrize("history", [HISTORY, HISTORY[-2:]], ids=["few-shot", "zero-shot"])
def test_hopeless_runs_are_told_from_promising_ones(history):
    finals = history[:, -1]
    assert _judge().is_hopeless(BAD[:LOOK], history, finals)
    assert not _judge().is_hopeless(GOOD[:LOOK], history, finals)
    assert _judge().is_hopeless(np.array([0.5, np.nan]), HISTORY[:0], [])


def test_nothing_is_given_up_too_early_or_too_late_or_between_looks():
    finals = HISTORY[:, -1]
    assert not _judge(warmup=LOOK + 1).is_hopeless(BAD[:LOOK], HISTORY, finals)
    assert not _judge(startup=13).is_hopeless(BAD[:LOOK], HISTORY, finals)
    assert not _judge().is_hopeless(BAD, HISTORY, finals)
    assert not _judge().is_hopeless(BAD[: LOOK - 1], HISTORY, finals)
    sparse = np.where(np.arange(LOOK + 1) % 3 == 0, BAD[: LOOK + 1], np.nan)
    assert _judge().is_hopeless(sparse, HISTORY, finals), "a look that was passed over is made up for"
    with pytest.raises(ValueError, match="startup=0"):
        _judge(startup=0)


def test_a_late_jump_of_the_first_runs_is_allowed_to_the_next():
    """A few finished runs cannot teach where the jump of a schedule leads, but that there is one."""
    late = np.concatenate([np.linspace(0.3, 0.4, 15), np.full(5, 0.9)])
    assert not _judge().is_hopeless(late[:LOOK], late[None], late[-1:])
    flat = np.full(EPOCHS, 0.9)
    assert _judge().is_hopeless(late[:LOOK], flat[None], flat[-1:])


def test_few_finished_runs_tell_small_chances_too():
    """Counted errors of six runs can hardly tell one from another."""
    forecaster, history = RunForecaster("m", EPOCHS), HISTORY[::2]
    chances = [forecaster.chance(curve[:LOOK], history, 0.9) for curve in rising([0.4, 0.6, 0.8, 0.97], seed=3)]
    assert max(chances[:3]) < 0.001
    assert chances[3] > 0.5
    assert [forecaster.chance(GOOD, history, target) for target in (0.9, 0.99)] == [1, 0], "the end was observed"


def test_histories_of_weights_and_biases_and_of_lightning_agree(tmp_path):
    chart, runs = tmp_path / "chart.csv", tmp_path / "runs"
    header = "Step," + ",".join(f"run {i} - val_acc,run {i} - val_acc__MIN" for i in range(3))
    rows = [f"{10 * e}," + ",".join(f"{HISTORY[i, e]},0" for i in range(3)) for e in range(EPOCHS)]
    chart.write_text("\n".join([header, *rows]))
    for i in range(3):
        folder = runs / f"version_{i}"
        folder.mkdir(parents=True)
        lines = [f"{e},{3 * e},,0.1\n{e},{3 * e + 2},{HISTORY[i, e]}," for e in range(EPOCHS)]
        (folder / "metrics.csv").write_text("\n".join(["epoch,step,val_acc,train_loss", *lines]))
    (runs / "empty.csv").write_text("")
    np.testing.assert_allclose(read_histories(chart, "val_acc"), HISTORY[:3])
    np.testing.assert_allclose(read_histories(runs, "val_acc"), HISTORY[:3])
    with pytest.raises(DataError, match=r"none of 4 tables has a run with 'acc'; their columns: epoch, step"):
        read_histories(runs, "acc")
    with pytest.raises(DataError, match="no such file"):
        read_histories(tmp_path / "nowhere", "acc")


class TestOptuna:
    """The pruner in real studies of scripted trials."""

    @staticmethod
    def _study(pruner, curves, direction="maximize", first_step=1, every=1):
        optuna = pytest.importorskip("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction=direction, pruner=pruner)
        lengths = []
        for curve in curves:
            trial = study.ask()
            for epoch, value in enumerate(curve):
                trial.report(value, every * (first_step + epoch))
                if trial.should_prune():
                    break
            lengths.append(epoch + 1)
            pruned = epoch + 1 < len(curve)
            study.tell(trial, None if pruned else value, optuna.trial.TrialState.PRUNED if pruned else None)
        return lengths

    @pytest.mark.parametrize(("first_step", "every"), [(0, 1), (1, 1), (1, 25), (0, 25)])
    def test_prunes_what_is_hopeless_however_steps_count(self, first_step, every):
        from foretrain.integrations.optuna import ForecastPruner

        final = every * (first_step + EPOCHS - 1)
        lengths = self._study(ForecastPruner(final), [*HISTORY[:10], BAD, GOOD], "maximize", first_step, every)
        assert lengths[:10] == [EPOCHS] * 10
        assert 3 <= lengths[10] <= HALF
        assert lengths[11] == EPOCHS

    def test_a_loss_is_the_mirror_image(self):
        from foretrain.integrations.optuna import ForecastPruner

        curves = np.stack([*HISTORY[:10], BAD, GOOD])
        up = self._study(ForecastPruner(EPOCHS, bounds=(0, 1)), curves)
        assert self._study(ForecastPruner(EPOCHS, bounds=(0, 1)), 1 - curves, "minimize") == up
        assert self._study(ForecastPruner(EPOCHS), 1 - curves, "minimize")[10] < EPOCHS

    def test_a_diverged_trial_is_pruned_at_once(self):
        from foretrain.integrations.optuna import ForecastPruner

        assert self._study(ForecastPruner(EPOCHS), [[0.1, np.nan, 0.2]]) == [2]

    @pytest.mark.parametrize("options", [{"final_step": 0}, {"probability": 1}, {"warmup": 0}, {"startup": 0}], ids=str)
    def test_impossible_arguments(self, options):
        pytest.importorskip("optuna")
        from foretrain.integrations.optuna import ForecastPruner

        with pytest.raises(ValueError, match=next(iter(options))):
            ForecastPruner(**{"final_step": EPOCHS, **options})

    WORKER = """
import sys
sys.path.insert(0, sys.argv[2])
import optuna
from scripted import EPOCHS, rising
from foretrain.integrations.optuna import ForecastPruner

def objective(trial):
    final = trial.suggest_float("final", 0.3, 0.9)
    for epoch, value in enumerate(rising(final, seed=trial.number)[0], start=1):
        trial.report(value, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value

study = optuna.load_study(study_name="s", storage=sys.argv[1], sampler=optuna.samplers.RandomSampler(int(sys.argv[3])),
                          pruner=ForecastPruner(EPOCHS, startup=5))
study.optimize(objective, n_trials=12)
"""

    @pytest.mark.slow
    def test_processes_share_one_storage(self, tmp_path):
        """Two processes work on one study and lose nothing that they could not know to be better."""
        optuna = pytest.importorskip("optuna")
        storage = f"sqlite:///{tmp_path / 'study.db'}"
        optuna.create_study(study_name="s", storage=storage, direction="maximize")
        script = tmp_path / "worker.py"
        script.write_text(self.WORKER)
        command = [sys.executable, str(script), storage, str(Path(__file__).parent)]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        workers = [subprocess.Popen([*command, str(seed)], stderr=subprocess.PIPE, env=alone) for seed in (1, 2)]
        errors = [worker.communicate(timeout=900)[1].decode() for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], errors
        trials = optuna.load_study(study_name="s", storage=storage).trials
        states = [trial.state.name for trial in trials]
        assert len(states) == 24
        assert set(states) == {"COMPLETE", "PRUNED"}
        assert states.count("PRUNED") >= 5
        pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
        best = max(trial.value for trial in trials if trial.state.name == "COMPLETE")
        assert all(trial.params["final"] <= best + 0.02 for trial in pruned)


class TestRay:
    """The stopper, where Ray is installed."""

    def test_stops_what_is_hopeless_and_what_has_finished(self):
        pytest.importorskip("ray.tune")
        from foretrain.integrations.ray import ForecastStopper

        stopper = ForecastStopper("val_acc", EPOCHS)
        lengths = []
        for number, curve in enumerate([*HISTORY[:10], BAD, GOOD]):
            reports = [{"training_iteration": epoch + 1, "val_acc": value} for epoch, value in enumerate(curve)]
            lengths.append([stopper(str(number), report) for report in reports].index(True) + 1)
        assert lengths[:10] == [EPOCHS] * 10
        assert 3 <= lengths[10] < HALF
        assert lengths[11] == EPOCHS
        assert not stopper.stop_all()
        with pytest.raises(ConfigError, match=r"'val_acc'.*Allowed: loss"):
            stopper("0", {"loss": 1, "training_iteration": 1})

    def test_what_is_remembered_is_saved_with_the_experiment(self):
        """Ray pickles a stopper into its experiment's state and goes on with it after a crash."""
        pytest.importorskip("ray.tune")
        from foretrain.integrations.ray import ForecastStopper

        stopper = ForecastStopper("val_acc", EPOCHS)
        for number, curve in enumerate(HISTORY[:10]):
            for epoch, value in enumerate(curve, start=1):
                stopper(str(number), {"training_iteration": epoch, "val_acc": value})
        restored = pickle.loads(pickle.dumps(stopper))
        reports = [{"training_iteration": epoch + 1, "val_acc": value} for epoch, value in enumerate(BAD)]
        assert [restored("b", report) for report in reports] == [stopper("b", report) for report in reports]

    @pytest.fixture
    def ray_here(self, tmp_path, monkeypatch):
        """Ray on this machine alone, one trial at a time, without a network."""
        ray = pytest.importorskip("ray")
        monkeypatch.setenv("HOME", str(tmp_path))  # results go there
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
        # the paths of its sockets must be short
        with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
            options = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "log_to_driver": False}
            ray.init(num_cpus=1, _node_ip_address="127.0.0.1", _temp_dir=folder, **options)
            try:
                yield
            finally:
                ray.shutdown()

    @pytest.mark.slow
    @pytest.mark.usefixtures("ray_here")
    def test_as_the_docs_print_it(self):
        """Trials that finish run to the horizon, most of the others do not."""
        page = Path(__file__).parents[2] / "docs" / "integrations.md"
        (block,) = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        np.random.seed(0)  # noqa: NPY002 - Ray draws from it
        names: dict[str, object] = {"__name__": "page"}
        exec(compile(block, str(page), "exec"), names)
        lengths = [result.metrics["training_iteration"] for result in names["results"]]
        assert len(lengths) == 20
        assert max(lengths) == 15
        assert sum(length < 15 for length in lengths) >= 5
