"""The callback as a practitioner uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from scripted import EPOCHS, fit, rising

from foretrain.errors import ConfigError, DataError, ForetrainWarning
from foretrain.integrations.lightning import ForecastFinal

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
HISTORY = rising(np.linspace(0.5, 0.9, 12), seed=1)
GOOD, BAD = rising([0.95, 0.6], seed=2)


def test_forecast_interval_and_probability_reach_the_logger_and_the_progress_bar(tmp_path):
    callback = ForecastFinal("val_acc", history=HISTORY, target=0.7)
    trainer = fit(GOOD, callback, tmp_path, logger=CSVLogger(tmp_path, name="", version="logs"))
    table = pd.read_csv(tmp_path / "logs" / "metrics.csv")
    shown = table[["forecast/val_acc", "forecast/val_acc_lower", "forecast/val_acc_upper", "forecast/probability"]]
    shown = shown.dropna()
    assert len(shown) == EPOCHS
    ordered = shown.iloc[:, 1] <= shown.iloc[:, 0], shown.iloc[:, 0] <= shown.iloc[:, 2]
    assert all(part.all() for part in ordered)
    assert abs(shown.iloc[9, 0] - GOOD[-1]) < 0.05
    assert shown.iloc[9, 3] > 0.9
    assert shown.iloc[-1, 0] == pytest.approx(GOOD[-1])
    assert trainer.progress_bar_metrics["forecast/val_acc"] == pytest.approx(GOOD[-1])
    assert "P(target)" in trainer.progress_bar_metrics


def test_a_hopeless_run_is_stopped_with_the_reason_logged(tmp_path, caplog):
    callback = ForecastFinal("val_acc", history=HISTORY, action="stop", patience=2)
    with caplog.at_level("INFO"):
        trainer = fit(BAD, callback, tmp_path, logger=CSVLogger(tmp_path, name="", version="logs"))
    assert 5 < trainer.current_epoch < EPOCHS
    assert f"epoch {trainer.current_epoch} of {EPOCHS}: val_acc is foreseen to end at 0." in callback.stop_reason
    assert "the probability to beat 0.9 is" in callback.stop_reason
    assert callback.stop_reason in caplog.text
    assert "forecast_stop_reason" in (tmp_path / "logs" / "hparams.yaml").read_text()


def test_five_finished_runs_are_enough_to_stop_by(tmp_path):
    callback = ForecastFinal("val_acc", history=HISTORY[::2], target=0.85, action="stop", patience=2)
    assert fit(BAD, callback, tmp_path).current_epoch < EPOCHS


def test_a_promising_run_is_not_stopped(tmp_path):
    callback = ForecastFinal("val_acc", history=HISTORY, action="stop", patience=1)
    assert fit(GOOD, callback, tmp_path).current_epoch == EPOCHS
    assert callback.stop_reason is None


def test_log_and_warn_let_it_go_on(tmp_path):
    logged = ForecastFinal("val_acc", history=HISTORY, patience=1)
    assert fit(BAD, logged, tmp_path).current_epoch == EPOCHS
    with pytest.warns(ForetrainWarning, match="probability to beat 0.9"):
        assert fit(BAD, ForecastFinal("val_acc", history=HISTORY, action="warn"), tmp_path).current_epoch == EPOCHS


@pytest.mark.parametrize("unit", [1, 100])
def test_a_metric_to_minimise_is_the_mirror_image(tmp_path, unit):
    up = ForecastFinal("val_acc", history=HISTORY, bounds=(0, 1), action="stop", patience=1)
    down = ForecastFinal(
        "val_err", history=unit * (1 - HISTORY), bounds=(0, unit), mode="min", action="stop", patience=1
    )
    ended = [
        fit(BAD, up, tmp_path).current_epoch,
        fit(unit * (1 - BAD), down, tmp_path, name="val_err").current_epoch,
    ]
    assert ended[0] == ended[1] < EPOCHS
    assert unit - down.forecast.mean == pytest.approx(unit * up.forecast.mean)
    assert unit - down.forecast.lower == pytest.approx(unit * up.forecast.upper)
    assert down.forecast.probability == pytest.approx(up.forecast.probability, abs=1e-9)


def test_losses_of_any_size_and_percentages_need_no_bounds(tmp_path):
    losses = 7.3 / np.arange(1, EPOCHS + 1)
    callback = ForecastFinal("val_loss", mode="min", target=5.0)
    fit(losses[:10], callback, tmp_path, name="val_loss", limit_train_batches=1, epochs=10)
    assert callback.forecast.probability > 0.99
    found = {}
    for unit in (1, 100):
        callback = ForecastFinal("val_acc", horizon=EPOCHS)
        fit(unit * GOOD[:10], callback, tmp_path, epochs=10)
        found[unit] = callback.forecast
    assert 100 * found[1].mean == pytest.approx(found[100].mean)
    assert found[100].lower < 100 * GOOD[-1] < found[100].upper


def test_a_value_that_needs_bounds_says_so(tmp_path):
    with pytest.raises(DataError, match=r"val_acc: is -3, neither a share of 1 nor a percentage. Give its bounds="):
        fit([-3.0], ForecastFinal("val_acc", horizon=5), tmp_path, epochs=1)


def test_a_metric_that_is_no_number_is_hopeless_and_nothing_breaks(tmp_path):
    curve = np.where(np.arange(EPOCHS) < 8, GOOD, np.nan)
    callback = ForecastFinal("val_acc", target=0.5, action="stop", patience=3)
    assert fit(curve, callback, tmp_path).current_epoch == 11
    assert "val_acc is nan, 3 hopeless validations in a row" in callback.stop_reason
    nothing = ForecastFinal("val_acc", target=0.5)
    fit(np.full(EPOCHS, np.nan), nothing, tmp_path)
    assert nothing.forecast is None


def test_a_missing_monitor_names_what_is_logged(tmp_path):
    with pytest.raises(ConfigError, match=r"monitor.*'val_accuracy'.*Allowed: val_acc"):
        fit(GOOD, ForecastFinal("val_accuracy"), tmp_path)


def test_the_horizon_is_the_last_validated_epoch(tmp_path):
    callback = ForecastFinal("val_acc", target=0.5)
    fit(GOOD, callback, tmp_path, check_val_every_n_epoch=3)
    assert callback.forecast.mean == pytest.approx(GOOD[17])
    with pytest.raises(ConfigError, match="horizon"):
        fit(GOOD, ForecastFinal("val_acc"), tmp_path, epochs=-1, max_steps=3)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path):
    """Values, forecasts, counted validations and the finished runs of that time are in the checkpoint."""
    undisturbed = ForecastFinal("val_acc", history=HISTORY, action="stop", patience=4)
    end = fit(BAD, undisturbed, tmp_path).current_epoch
    killed = end - 2  # in the middle of the patience
    first = ForecastFinal("val_acc", EPOCHS, HISTORY, action="stop", patience=4)
    saver = ModelCheckpoint(tmp_path / "kept", save_last=True)
    fit(BAD, [first, saver], tmp_path, epochs=killed, enable_checkpointing=True)
    second = ForecastFinal("val_acc", EPOCHS, HISTORY[:6], action="stop", patience=4)
    trainer = fit(BAD, second, tmp_path, ckpt_path=tmp_path / "kept" / "last.ckpt")
    assert trainer.current_epoch == end
    state, expected = second.state_dict(), undisturbed.state_dict()
    assert torch.equal(state.pop("finished"), expected.pop("finished"))
    assert state == expected


def test_finished_runs_of_another_length_are_left_aside(tmp_path):
    with pytest.warns(ForetrainWarning, match=r"0 runs end at epoch 10, 5 are needed .* runs end: 12 at 20"):
        fit(GOOD[:10], ForecastFinal("val_acc", history=HISTORY), tmp_path, epochs=10)


def test_history_is_a_folder_of_the_logs_of_earlier_runs(tmp_path):
    for number, curve in enumerate(HISTORY[:6]):
        fit(curve, [], tmp_path, logger=CSVLogger(tmp_path, name="runs", version=number))
    read, given = ForecastFinal("val_acc", history=tmp_path / "runs"), ForecastFinal("val_acc", history=HISTORY[:6])
    for callback in (read, given):
        fit(GOOD, callback, tmp_path)
    np.testing.assert_allclose(read.state_dict()["shown"], given.state_dict()["shown"], rtol=1e-6)


def test_weights_and_biases_shows_forecast_against_truth(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    logged = {}
    logger = WandbLogger(save_dir=tmp_path, project="test", mode="offline")
    monkeypatch.setattr(type(logger.experiment), "log", lambda run, data, *_, **__: logged.update(data))
    fit(GOOD, ForecastFinal("val_acc", target=0.9), tmp_path, logger=logger)
    assert {"forecast/val_acc", "forecast/probability", "forecast/val_acc_against_truth"} <= set(logged)
    logger.experiment.finish()


@pytest.mark.parametrize(
    "options",
    [
        {"action": "halt"},
        {"action": "stop"},
        {"probability": 0},
        {"patience": 0},
        {"mode": "up"},
        {"bounds": (1, 0)},
        {"level": 1},
    ],
    ids=str,
)
def test_impossible_arguments(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ForecastFinal("val_acc", **options)


DISTRIBUTED = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import numpy as np
from scripted import EPOCHS, fit, rising
from foretrain.integrations.lightning import ForecastFinal
folder = Path(sys.argv[1])
rank = int(os.environ.get("LOCAL_RANK", 0))
good, bad = rising([0.95, 0.6], seed=2)
history = rising(np.linspace(0.5, 0.9, 12), seed=1)
callback = ForecastFinal("val_acc", history=history, action="stop")
# the metric is not synchronised: only the first process sees a bad run
trainer = fit(good if rank else bad, callback, folder, devices=2, strategy="ddp")
state = {**callback.state_dict(), "finished": None, "epoch": trainer.current_epoch}
(folder / f"{rank}.json").write_text(json.dumps(state))
"""


@pytest.mark.slow
def test_two_processes_decide_alike(tmp_path):
    """The second one's own values are good, but the first one decides."""
    script = tmp_path / "train.py"
    script.write_text(DISTRIBUTED)
    command = [sys.executable, str(script), str(tmp_path), str(Path(__file__).parent)]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    states = [(tmp_path / f"{rank}.json").read_text() for rank in (0, 1)]
    assert states[0] == states[1]
    assert '"stop_reason": "epoch' in states[0]
