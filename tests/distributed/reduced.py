"""Trains every learned module compiled to machine code and in half precision; prints how alike it ranks unseen samples.

Beside the Spearman correlations with float32 stand the graphs that the compiler found in the training step, and the
processor seconds of compiling and training.

    OMP_NUM_THREADS=1 TORCHINDUCTOR_COMPILE_THREADS=1 python -W ignore tests/distributed/reduced.py

It needs a C++ compiler. float16 on the CPU goes through Lightning's plugin itself, since `trainer.precision=16-mixed`
is bfloat16 there, and without oneDNN, which has no LSTM in float16 for most CPUs.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from learned import LEARNED, make
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from scipy.stats import spearmanr
from torch import Tensor
from torch._dynamo.utils import counters

from foretrain.runtime.compiling import Compile
from foretrain.runtime.quiet import quiet_lightning

WAYS: dict[str, Any] = {
    "compiled": lambda: {"callbacks": [Compile(dynamic=True)]},
    "bfloat16": lambda: {"precision": "bf16-mixed"},
    "float16": lambda: {"plugins": [MixedPrecision("16-mixed", "cpu")]},
}


def forecast(name: str, way: str | None = None) -> Tensor:
    """What a module says after a training in one of these ways."""
    learned = make(name)
    options = {"callbacks": []} if way is None else WAYS[way]()
    fixed = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    with quiet_lightning(), torch.backends.mkldnn.flags(enabled=way != "float16"):
        runner = Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=learned.epochs,
            limit_val_batches=0,
            logger=False,
            **fixed,
            **options,
        )
        runner.fit(learned.module, learned.data)
    learned.module.eval()
    with torch.no_grad():
        return learned.says()


def counted() -> int:
    """The graphs that were compiled since the last call."""
    graphs = counters["stats"]["unique_graphs"]
    torch._dynamo.reset()
    counters.clear()
    return graphs


def main(names: list[str]) -> None:
    print("| module | " + " | ".join(WAYS) + " | graphs | seconds |")
    print("| --- |" + " --- |" * (len(WAYS) + 2))
    for name in names or LEARNED:
        plain = forecast(name)
        counted()
        cells = []
        for way in WAYS:
            start = time.process_time()
            said = forecast(name, way)
            if way == "compiled":
                seconds, graphs = time.process_time() - start, counted()
            same = " (equal)" if torch.equal(said, plain) else ""
            cells.append(f"{spearmanr(said, plain).statistic:.3f}{same}")
        print(f"| {name} | {' | '.join(cells)} | {graphs} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
