"""Runs an experiment: ``python train.py experiment=nap2 data.population=200 logger=wandb``.

``python train.py --help`` lists the experiments and what can be overridden.
"""

from pathlib import Path

from foretrain.runtime.entry import launch

if __name__ == "__main__":
    launch("foretrain.runtime.run:run", Path(__file__).parent / "conf", "train")
