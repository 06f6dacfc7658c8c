"""States that a run goes on from: they may be damaged, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from foretrain.errors import CheckpointError, ForetrainError


@contextmanager
def going_on_from(path: str | Path, unless: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Turns what a damaged or foreign state raises in this block, in as many ways as there are, into one error.

    Args:
        path: The file of the state.
        unless: Tells that by now everything in the file has been used, so that an error is not its fault.

    Raises:
        CheckpointError: The block fails.
    """
    try:
        yield
    except ForetrainError:
        raise
    except Exception as error:
        if unless():
            raise
        cause = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        problem = f"does not go on from this state ({cause})"
        raise CheckpointError(
            path, problem, "If it is damaged or of another training, delete it to begin anew"
        ) from error


def fit_from(path: str | Path | None, trainer: Trainer, module: LightningModule, data: LightningDataModule) -> None:
    """Runs ``trainer.fit`` on from a checkpoint; None begins anew.

    Lightning takes a checkpoint apart in many places, the last of them at the end of the first epoch; what fails until
    then is laid to it.

    Raises:
        CheckpointError: The checkpoint does not fit this training.
    """
    if path is None:
        trainer.fit(module, datamodule=data)
        return
    under_way = _UnderWay()
    trainer.callbacks.append(under_way)  # type: ignore[attr-defined]
    with going_on_from(path, unless=lambda: under_way.seen):
        trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)


class _UnderWay(Callback):
    """Notices that a training has come to the end of an epoch."""

    def __init__(self) -> None:
        self.seen = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen = True
