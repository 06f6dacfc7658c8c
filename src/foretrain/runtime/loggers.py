"""Where a run is tracked: files always, Weights & Biases on request."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
import wandb
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from foretrain.runtime.files import read_json
from foretrain.runtime.folder import RunFolder

_MOST_ROWS = 10_000


def csv_logger(folder: str) -> CSVLogger:
    """Returns the logger that writes ``<folder>/logs/metrics.csv``."""
    return CSVLogger(folder, name="", version="logs")


def wandb_logger(
    folder: str,
    project: str = "foretrain",
    name: str | None = None,
    group: str | None = None,
    entity: str | None = None,
    tags: list[str] | None = None,
    mode: Literal["auto", "online", "offline", "disabled"] = "auto",
) -> WandbLogger:
    """Returns a Weights & Biases logger.

    The run's id follows from its folder: a run that is resumed there goes on as the same run. Offline, each stretch is
    a folder of its own under ``<folder>/wandb`` with that id; ``wandb sync`` puts them together. The agent of a sweep
    has chosen the id already.

    Args:
        folder: The run folder; W&B's files go to ``<folder>/wandb``.
        project: W&B project.
        name: Name of the run; None lets W&B choose.
        group: Group of related runs.
        entity: User or team.
        tags: Tags of the run.
        mode: ``auto`` obeys the variable WANDB_MODE, else is online for a user who is logged in and offline otherwise.
    """
    chosen = _automatic_mode() if mode == "auto" else mode
    Path(folder).mkdir(parents=True, exist_ok=True)
    identity = os.environ.get("WANDB_RUN_ID") or _identity(folder)
    return WandbLogger(
        save_dir=folder,
        project=project,
        name=name,
        group=group,
        entity=entity,
        tags=tags,
        id=identity,
        resume="allow",
        mode=chosen,
    )


def wandb_per_network(folder: str, group: str, project: str = "foretrain") -> Callable[[str], Logger]:
    """Returns what makes the W&B logger of each network of a sweep: one run per network, all in one group.

    A network that goes on after a pause, or after a kill, goes on in its run. Offline, each stretch of training is a
    folder of its own under ``<folder>/wandb`` with the same run's id; ``wandb sync`` puts them together.

    Args:
        folder: Where W&B's files go.
        group: Name of the group.
        project: W&B project.
    """
    return partial(_network_run, folder, group, project)


def _network_run(folder: str, group: str, project: str, name: str) -> WandbLogger:
    Path(folder).mkdir(parents=True, exist_ok=True)
    identity = _identity(folder, group, name)
    return WandbLogger(
        save_dir=folder, project=project, group=group, name=name, id=identity, mode=_automatic_mode(), resume="allow"
    )


def _identity(folder: str, *names: str) -> str:
    """The same id of a run for the same folder on the same machine."""
    place = "/".join([platform.node(), str(Path(folder).resolve()), *names])
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def close_logger(logger: Logger) -> None:
    """Ends a logger's run, so that the next logger of the process starts its own."""
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


def track(logger: Logger, folder: RunFolder, config: dict[str, object]) -> None:
    """Sends a finished run to a logger: config, metrics, training histories, figures and the report."""
    logger.log_hyperparams(config)
    for step, row in enumerate(_histories(folder.path)):
        logger.log_metrics(row, step=step)
    logger.log_metrics(folder.read_metrics())
    if isinstance(logger, WandbLogger):
        _upload(logger, folder)
    logger.save()


def _upload(logger: WandbLogger, folder: RunFolder) -> None:
    """Puts the figures and the files of the run where W&B shows them."""
    run = logger.experiment
    run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in sorted(folder.figures.glob("*.png"))})
    tables = sorted(folder.path.glob("*.parquet"))
    run.log({f"tables/{path.stem}": _table(path) for path in tables})
    artifact = wandb.Artifact(f"report-{run.id}", type="report")
    for name in ("report.md", "metrics.json", "config.yaml", "provenance.json", *(path.name for path in tables)):
        if (folder.path / name).exists():
            artifact.add_file(str(folder.path / name))
    if folder.figures.is_dir():
        artifact.add_dir(str(folder.figures), name="figures")
    run.log_artifact(artifact)
    run.summary.update(read_json(folder.path / "metrics.json"))


def _table(path: Path) -> wandb.Table:
    """A table of results as W&B shows it; of a long one the beginning, as the artifact holds the whole."""
    table = pd.read_parquet(path).head(_MOST_ROWS)
    numbers = table.select_dtypes("number").columns
    return wandb.Table(dataframe=table.astype(dict.fromkeys(table.columns.difference(numbers), str)))


def _histories(folder: Path) -> list[dict[str, float]]:
    """The epochs of every fit of the run: one row an epoch, names prefixed by the fit's folder."""
    rows: list[dict[str, float]] = []
    for path in sorted(folder.glob("fits/**/metrics.csv")):
        prefix = path.parent.parent.relative_to(folder / "fits").as_posix()
        table = pd.read_csv(path).groupby("epoch").mean(numeric_only=True).drop(columns="step", errors="ignore")
        rows.extend({f"{prefix}/{k}": float(v) for k, v in row.dropna().items()} for _, row in table.iterrows())
    return rows


def _automatic_mode() -> str:
    """WANDB_MODE where it is set, else online when an API key is known (WANDB_API_KEY or ``wandb login``)."""
    return os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
