"""One run from its config to its folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from rich.console import Console

from foretrain.errors import ConfigError, InterruptedRunError
from foretrain.runtime.config import TARGET, build, check, signature_of, to_plain
from foretrain.runtime.folder import RunFolder
from foretrain.runtime.loggers import track
from foretrain.runtime.parallel import ParallelMap
from foretrain.runtime.ranks import rank
from foretrain.runtime.seeding import seed_everything
from foretrain.runtime.study import Prediction, RunContext, Study, TrainerFactory


@dataclass(frozen=True)
class Frame:
    """The keys that every experiment has; all others belong to the study.

    Attributes:
        name: The experiment's name.
        seed: Seed of everything random.
        run_dir: The run's folder.
        parallel: The parallel map.
        trainer: A partial of ``lightning.pytorch.Trainer``.
        callbacks: Partials of Lightning callbacks by name.
        logger: Loggers by name.
    """

    name: str
    seed: Annotated[int, Field(ge=0)]
    run_dir: str
    parallel: ParallelMap
    trainer: Callable[..., Trainer]
    callbacks: dict[str, Callable[..., Callback]]
    logger: dict[str, Logger]


def run(config: DictConfig) -> RunFolder:
    """Checks the config, builds the study, runs it and tracks its results.

    Args:
        config: The composed config of ``train.py``.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The config is wrong; nothing was built or written then.
        DataError: The folder belongs to another run, or one works in it at this moment.
        InterruptedRunError: The user stopped it.
    """
    OmegaConf.update(config, "run_dir", str(_run_dir(config)))
    plain = to_plain(config)
    if TARGET not in plain:
        raise ConfigError("experiment", "none chosen", allowed="experiment=NAME, see python train.py --help")
    frame_node, study_node = split_root(plain)
    check(study_node, Study)
    check(frame_node, Frame)
    _refuse_multirun_with_subprocesses(plain)
    study: Study = build(study_node)
    folder = RunFolder(plain["run_dir"])
    with folder.held() if rank() == 0 else nullcontext():
        folder.write_config(plain)
        try:
            _run_study(study, build(frame_node), folder, plain)
        except KeyboardInterrupt as interruption:
            raise InterruptedRunError(folder.path) from interruption
        except SystemExit as ending:  # a Lightning trainer ends the process with 1 when it is interrupted
            if isinstance(ending.__context__, KeyboardInterrupt):
                raise InterruptedRunError(folder.path) from ending
            raise
        finally:
            wandb.finish()
    Console().print(f"report: {folder.report}", soft_wrap=True, highlight=False)
    return folder


def predict(config: DictConfig) -> None:
    """Checks the config of ``predict.py``, builds the prediction and runs it.

    Raises:
        ConfigError: The config is wrong; nothing was read or written then.
    """
    plain = to_plain(config)
    check(plain, Prediction)
    prediction: Prediction = build(plain)
    prediction.run()


def split_root(plain: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the node of the frame and the node of the study, of which the root config is made."""
    frame_keys = signature_of(Frame)
    frame = {TARGET: f"{Frame.__module__}.{Frame.__qualname__}"}
    frame |= {name: value for name, value in plain.items() if name in frame_keys}
    return frame, {name: value for name, value in plain.items() if name not in frame_keys}


def _run_dir(config: DictConfig) -> Path:
    """The run's folder as an absolute path, so that a run is the same one from whichever folder it is resumed.

    Raises:
        ConfigError: All jobs of a sweep are sent to one folder.
    """
    if not _in_multirun():
        return Path(config.run_dir).resolve()
    hydra = HydraConfig.get()
    if any(override.startswith("run_dir=") for override in hydra.overrides.task):
        raise ConfigError("run_dir", "each job of a sweep has its own", config.run_dir, "hydra.sweep.dir=FOLDER")
    return Path(hydra.runtime.output_dir).resolve()


def _in_multirun() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def _run_study(study: Study, frame: Frame, folder: RunFolder, plain: dict[str, Any]) -> None:
    start = time.perf_counter()
    seed_everything(frame.seed)
    limit = getattr(frame.trainer, "keywords", {}).get("max_epochs")
    context = RunContext(folder, frame.seed, frame.parallel, TrainerFactory(frame.trainer, frame.callbacks, limit))
    timings = study.run(context)
    folder.write_timings({**timings, "total": time.perf_counter() - start})
    if rank() == 0:
        for logger in frame.logger.values():
            track(logger, folder, plain)


def _refuse_multirun_with_subprocesses(plain: Mapping[str, Any]) -> None:
    """Lightning's subprocess launcher repeats the command line, ``-m`` included: every rank would sweep again."""
    trainer = plain["trainer"]
    strategy = str(trainer.get("strategy", "auto"))
    if strategy == "auto":
        one = (1, "1", [0], [1])
        launches = trainer.get("devices", "auto") not in one or trainer.get("num_nodes", 1) > 1
    else:
        launches = strategy.startswith(("ddp", "fsdp", "deepspeed")) and "spawn" not in strategy
    if _in_multirun() and launches:
        raise ConfigError("trainer.strategy", "subprocesses and -m do not go together", strategy, "ddp_spawn, or no -m")
