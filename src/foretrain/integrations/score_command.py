"""The command ``foretrain score``."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import Annotated

import typer

_FROM_SCRATCH = (
    "These scores rank networks by how well they train from scratch on data like these; they say nothing about "
    "networks that start from pretrained weights. params and flops are in millions."
)


def score_command(
    models: Annotated[
        list[str],
        typer.Option(
            "--models", help="timm:PATTERN, torchvision:PATTERN, FILE.py:NAME(ARGUMENTS), or a text file of such lines."
        ),
    ],
    data: Annotated[Path, typer.Option(help="An .npz file with x and y, a folder of images by class, or CIFAR-10's.")],
    proxies: Annotated[str, typer.Option(help="Proxies, separated by commas; without it, all but zico.")] = "",
    batch_size: Annotated[int, typer.Option(min=2, help="Samples that networks are scored on.")] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Initialisations to average over.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of batch, weights and noise.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the ranking into this image file.")] = None,
) -> None:
    """Ranks your own networks by zero-cost scores. None of them is trained."""
    from foretrain.errors import ConfigError  # noqa: PLC0415 - keeps --help quick
    from foretrain.evaluation.figures import checked_figure  # noqa: PLC0415
    from foretrain.integrations.models import find_models  # noqa: PLC0415
    from foretrain.integrations.ranking import ONE_BATCH, draw_ranking, fitting, rank_models  # noqa: PLC0415
    from foretrain.integrations.samples import read_batch  # noqa: PLC0415
    from foretrain.runtime.files import require_writable, write_text  # noqa: PLC0415

    chosen = [name.strip() for name in proxies.split(",") if name.strip()] or ONE_BATCH
    for name in chosen:
        if name not in ONE_BATCH:
            raise ConfigError("proxies", "no such proxy of one batch", name, ONE_BATCH)
    if csv is not None:
        require_writable(csv)
    if plot is not None:
        checked_figure(plot)
    candidates = find_models(models)
    table = rank_models(candidates, read_batch(data, batch_size, seed), chosen, repeats, seed, device)
    if csv is not None:
        write_text(csv, table.to_csv(index=False))
    if plot is not None:
        draw_ranking(table, plot)
    width = shutil.get_terminal_size().columns
    shown, left = fitting(table, width)
    print(shown)
    if left:
        text = f"Not shown here: {', '.join(left)}. A wider terminal, --proxies or --csv FILE shows them."
        print(textwrap.fill(text, width))
    print(textwrap.fill(_FROM_SCRATCH, width))
