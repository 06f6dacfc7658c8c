"""The way from the command line to a function of the config, with exit codes that mean something."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from foretrain.errors import ConfigError, ForetrainError, InterruptedRunError
from foretrain.runtime.ranks import rank

USAGE_ERROR = 2


def launch(task: str, config_folder: str | Path, config_name: str) -> None:
    """Composes the config from the command line and calls ``task`` with it.

    Ends the process with 2 for a wrong usage or config and 1 for bad data, with one clear message and no traceback;
    an unexpected exception keeps its traceback. Of a sweep, the jobs after one that failed so are run too.

    Args:
        task: Import path ``module:function`` of what to do with the composed config; imported only then, so that
            ``--help`` is quick.
        config_folder: The ``conf`` folder.
        config_name: The primary config in it, without its ending.
    """
    failures: list[ForetrainError] = []

    def job(config: DictConfig) -> None:
        module, _, function = task.partition(":")
        try:
            getattr(importlib.import_module(module), function)(config)
        except InterruptedRunError as interruption:  # ends a sweep too
            _fail(_message(interruption), interruption.exit_code)
        except ForetrainError as error:  # the other jobs of a sweep go on
            failures.append(error)
            _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))

    OmegaConf.register_new_resolver("experiments", partial(_experiments, Path(config_folder)), replace=True)
    # Hydra swallows exceptions and ends with 1 for all of them, unless it is told not to.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    main = hydra.main(version_base="1.3", config_path=str(Path(config_folder).resolve()), config_name=config_name)(job)
    try:
        # Of several processes that work on one run, one speaks; errors come from all.
        with contextlib.redirect_stdout(None) if rank() > 0 else contextlib.nullcontext():
            main()
    except (HydraException, OmegaConfBaseException) as error:
        _fail(_hydra_message(error), USAGE_ERROR)
    if failures:
        _fail("\n".join(map(_message, failures)), failures[0].exit_code)


def _remove_if_empty(folder: Path) -> None:
    """Takes away the folder that Hydra makes for a job before its config is checked."""
    if folder.is_dir() and folder != Path.cwd() and not any(folder.iterdir()):
        folder.rmdir()


def _experiments(config_folder: Path) -> str:
    """The experiments for ``--help``, a line each: the name and what the header of its file says before the command."""
    files = sorted((config_folder / "experiment").glob("*.yaml"))
    width = max((len(file.stem) for file in files), default=0)
    return "\n".join(f"  {file.stem:{width}}  {_title(file)}" for file in files)


def _title(file: Path) -> str:
    comments = [line.lstrip("# ") for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    return next((line.partition(": ")[0] for line in comments if not line.startswith("@package")), "")


def _message(error: ForetrainError) -> str:
    return error.told(f"config key '{error.key}'") if isinstance(error, ConfigError) else str(error)


def _hydra_message(error: BaseException) -> str:
    """Hydra's message with the cause that it chains behind it, or the remedy where Hydra names none that helps."""
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and isinstance(cause.parent_node, DictConfig):
        from foretrain.runtime.config import absent_key  # noqa: PLC0415 - keeps --help quick

        return _message(absent_key(str(cause.full_key), cause.parent_node))
    first = str(error).partition("\n")[0]
    if isinstance(error, OverrideParseException):
        return f"{first}: write KEY=VALUE, e.g. experiment=nap2"
    if "No match in the defaults list" in first:
        return f"{first} This experiment has no such part; --cfg job in its place shows the parts that it has"
    return str(error) if cause is None or str(cause) in str(error) else f"{error}\n{cause}"


def _fail(message: str, code: int) -> NoReturn:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(code)
