"""What ``predict.py task=proxies`` does: zero-cost scores of the networks in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from foretrain.errors import ConfigError, DataError
from foretrain.evaluation.tables import checked_target, name_of, read_table, write_table
from foretrain.integrations.models import Model, find_models
from foretrain.integrations.ranking import ONE_BATCH, rank_models
from foretrain.integrations.samples import read_batch
from foretrain.runtime.study import Prediction
from foretrain.spaces.base import Architectures, SearchSpace

ARCH, MODEL = "arch", "model"


class PredictScores(Prediction):
    """Scores untrained networks and ranks them, as ``foretrain score`` does.

    Args:
        input: A table as :func:`~foretrain.evaluation.tables.read_table` reads it, one row a network; ``-`` is standard
            input. Its column ``arch`` holds architectures of the space in their published string form, or its column
            ``model`` networks as :func:`~foretrain.integrations.models.find_models` takes them.
        output: The table to write, the best first, ``.csv``, ``.parquet`` or ``-`` for standard output: see
            :func:`~foretrain.integrations.ranking.rank_models`; without the seconds, which are never the same.
        data: Inputs and labels, see :func:`~foretrain.integrations.samples.read_batch`.
        space: The space of the architectures.
        proxies: Names of the proxies; None takes all that need one batch at most.
        batch_size: Samples that networks are scored on.
        repeats: Initialisations to average over.
        seed: Seed of batch, weights and noise.
        device: Where they are scored: ``cpu``, ``cuda``, ...

    Raises:
        ConfigError: There is no such proxy, or the output has an unknown ending.
    """

    def __init__(
        self,
        input: str,  # noqa: A002 - the config's key
        output: str,
        data: str,
        space: SearchSpace[Any],
        proxies: list[str] | None = None,
        batch_size: Annotated[int, Field(ge=2)] = 64,
        repeats: Annotated[int, Field(ge=1)] = 1,
        seed: Annotated[int, Field(ge=0)] = 0,
        device: str = "cpu",
    ) -> None:
        if unknown := set(proxies or ()) - set(ONE_BATCH):
            raise ConfigError("proxies", "no such proxy of one batch", sorted(unknown), ONE_BATCH)
        self.input = input
        self.output = checked_target(output)
        self.data = Path(data)
        self.space = space
        self.proxies = tuple(proxies or ONE_BATCH)
        self.batch_size = batch_size
        self.repeats = repeats
        self.seed = seed
        self.device = device

    def run(self) -> None:
        """Reads, scores and writes; see :class:`foretrain.runtime.study.Prediction`."""
        table = read_table(self.input)
        if not len(table) or (ARCH in table.columns) == (MODEL in table.columns):
            problem = f"has {len(table)} rows and the columns {', '.join(table.columns[:8])}"
            raise DataError(name_of(self.input), problem, f"Give one row a network and either {ARCH} or {MODEL}")
        by = ARCH if ARCH in table.columns else MODEL
        names = table[by].to_list()
        models = architecture_models(self.space, names) if by == ARCH else find_models(names)
        batch = read_batch(self.data, self.batch_size, self.seed)
        ranked = rank_models(models, batch, self.proxies, self.repeats, self.seed, self.device)
        write_table(ranked.drop(columns="seconds").rename(columns={MODEL: by}), self.output)


def architecture_models(space: SearchSpace[Any], strings: list[str]) -> list[Model]:
    """Returns architectures of a space as networks that can be built.

    Args:
        space: The space, which has the skeleton.
        strings: Their published string forms.

    Raises:
        DataError: One is malformed; names its position.
    """
    archs = space.parse(strings)
    return [_model(space, name, archs[torch.tensor([place])]) for place, name in enumerate(strings)]


def _model(space: SearchSpace[Any], name: str, arch: Architectures) -> Model:
    def build(channels: int, outputs: int) -> nn.Module:
        return space.build(arch, channels, outputs)

    return Model(name, build)
