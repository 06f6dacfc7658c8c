"""Why early validation ranks badly: running statistics of batch normalisation against those of the batch.

    python bench/nap2_early_validation.py

The first networks of the population of ``experiment=nap2_baselines`` train as they do there. After 1, 3 and 5 snapshot
intervals each is evaluated on the validation images twice: as usual, with the running statistics, and with those of the
validation images themselves. Where running statistics that have not settled spoil the ranking, the second ranks better.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from foretrain.metrics.rank import bootstrap_interval, spearman
from foretrain.runtime.parallel import ParallelMap
from foretrain.snapshots.recording import SnapshotPopulation
from foretrain.training.candidate import CandidateTraining
from foretrain.training.data import EvaluationBatches

NETWORKS, INTERVALS = 64, (1, 3, 5)
CONF = Path(__file__).parent.parent / "conf"


class BothAccuracies(Callback):
    """Notes the validation accuracies with running statistics and with those of the images, ``[2]`` by step."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.found: dict[int, list[float]] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates a copy, so that the training goes on as if nothing had been asked."""
        network: Any = deepcopy(pl_module.network)
        network.eval()
        usual = self._accuracy(network)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.train()
        self.found[trainer.global_step] = [usual, self._accuracy(network)]

    def _accuracy(self, network: nn.Module) -> float:
        with torch.no_grad():
            right = network(self.images).argmax(dim=1) == self.labels
        return 100 * float(right.double().mean())


def main() -> None:
    """Prints how well both rank the networks by their final test accuracy."""
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        data: SnapshotPopulation = instantiate(compose("train", ["experiment=nap2_baselines", "run_dir=."]).data)
    split = data.images.validation
    images, labels = next(iter(EvaluationBatches(data.images, split, len(split))))
    final = data.record(ParallelMap(1)).index().set_index("key")["test_accuracy"]
    steps = [count * data.every_n_steps for count in INTERVALS]
    found = []
    for candidate in data.candidates[:NETWORKS]:
        both = BothAccuracies(images, labels)
        CandidateTraining(candidate, data.space, data.images, data.plan, {"both": both}).advance(steps[-1])
        found.append([both.found[step] for step in steps])
    truth = final.loc[data.keys[:NETWORKS]].to_numpy(dtype=np.float64)
    for column, step in enumerate(steps):
        for row, name in enumerate(("running statistics", "batch statistics")):
            values = np.array(found)[:, column, row]
            lower, upper = bootstrap_interval(spearman, truth, values, seed=0)
            print(f"after {step} steps, {name}: median accuracy {np.median(values):.1f}%, ", end="")
            print(f"Spearman {spearman(truth, values):.3f} [{lower:.3f}, {upper:.3f}]")


if __name__ == "__main__":
    main()
