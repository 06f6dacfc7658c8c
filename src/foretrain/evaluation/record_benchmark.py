"""The study that makes a benchmark: it is recorded, written, and judged by how its numbers spread and agree."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pandas as pd

from foretrain.benchmarks.contents import TRAINING_SECONDS
from foretrain.benchmarks.format import write_benchmark
from foretrain.benchmarks.table import Benchmark
from foretrain.evaluation.benchmark_recording import BenchmarkRecording, FloatArray
from foretrain.evaluation.report import markdown_table, print_table
from foretrain.metrics.rank import spearman
from foretrain.runtime.study import RunContext, Study

_SHOWN_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_AGREEMENT = (
    "Spearman's rank correlation between the accuracies of two seeds, mean and lowest over all pairs of seeds. "
    "A network is dead where no seed comes to twice the accuracy of chance on the validation images."
)


class RecordBenchmark(Study):
    """Trains the networks of a benchmark and leaves it as the folder ``<name>`` in the run's folder.

    All numbers but the seconds are the same to the last bit when a recording is made again on the same type of
    machine.

    Args:
        data: The benchmark to make.
    """

    def __init__(self, data: BenchmarkRecording) -> None:
        self.data = data

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        started = time.perf_counter()
        records = self.data.record(context.parallel)
        recorded = time.perf_counter() - started
        folder = context.folder.path / self.data.name
        if not folder.exists():
            write_benchmark(self.data.contents(records), folder)
        benchmark = Benchmark(folder)
        spread, agreement = spread_table(benchmark), agreement_table(benchmark, self.data.images.num_classes)
        context.folder.write_metrics(_metrics(spread, agreement))
        context.folder.write_provenance(
            context.seed, {"images": self.data.images.fingerprint, f"{self.data.name}/benchmark.json": benchmark.sha256}
        )
        context.folder.write_report(_report(self.data, benchmark, spread, agreement))
        print_table(spread, f"{self.data.name}: final accuracies, percent", digits=1)
        print_table(agreement, f"{self.data.name}: Spearman between seeds")
        return {"record": recorded}


def spread_table(benchmark: Benchmark) -> pd.DataFrame:
    """Returns the quantiles of the final accuracies over the networks, a row for each split; percent."""
    rows = []
    for split in ("valid", "test"):
        accuracy = benchmark.accuracy(split=split, seed=0)
        quantiles = np.quantile(accuracy, _SHOWN_QUANTILES)
        rows.append({"split": split} | dict(zip(map(_quantile_name, _SHOWN_QUANTILES), quantiles, strict=True)))
    return pd.DataFrame(rows)


def agreement_table(benchmark: Benchmark, num_classes: int) -> pd.DataFrame:
    """Returns how well the seeds agree on the networks that were trained with all of them.

    A network is dead where it guesses: none of its seeds comes to twice the accuracy of chance on the validation
    images. Any two seeds agree about which networks are dead, so the correlation is given without these too.

    Args:
        benchmark: The benchmark.
        num_classes: Number of classes of the images.

    Returns:
        Columns ``split``, ``networks`` (which), ``number``, ``mean`` and ``lowest`` Spearman over all pairs of seeds.
    """
    accuracies = {split: _by_seed(benchmark, split) for split in ("valid", "test")}
    complete = ~np.isnan(accuracies["valid"]).any(axis=1)
    alive = complete & (accuracies["valid"] >= 2 * 100 / num_classes).any(axis=1)
    rows = []
    for split, values in accuracies.items():
        for name, chosen in (("all repeated", complete), ("without dead", alive)):
            pairs = [spearman(first, second) for first, second in itertools.combinations(values[chosen].T, 2)]
            mean, lowest = (float(np.mean(pairs)), min(pairs)) if pairs else (np.nan, np.nan)
            rows.append({"split": split, "networks": name, "number": int(chosen.sum()), "mean": mean, "lowest": lowest})
    return pd.DataFrame(rows)


def _by_seed(benchmark: Benchmark, split: str) -> FloatArray:
    """``float64[n, seeds]``: final accuracies, NaN where a network was not trained with a seed."""
    seeds = next(series.seeds for series in benchmark.series if series.kind == "final")
    return np.stack([benchmark.accuracy(split=split, seed=seed) for seed in seeds], axis=1)


def _metrics(spread: pd.DataFrame, agreement: pd.DataFrame) -> dict[str, float]:
    quantiles = {
        f"{row['split']}/accuracy@{name}": row[name]
        for row in spread.to_dict("records")
        for name in map(_quantile_name, _SHOWN_QUANTILES)
    }
    seeds = {
        f"{row['split']}/spearman_between_seeds/{row['networks'].replace(' ', '_')}": row["mean"]
        for row in agreement.to_dict("records")
    }
    return quantiles | seeds


def _report(data: BenchmarkRecording, benchmark: Benchmark, spread: pd.DataFrame, agreement: pd.DataFrame) -> str:
    sections = [
        f"# {data.name}",
        _how(data),
        "## Do the accuracies spread?",
        markdown_table(spread, digits=1),
        "Quantiles over the networks of the accuracy after the last epoch, percent, seed 0.",
        "## Do the seeds agree?",
        markdown_table(agreement),
        _AGREEMENT,
        "## What did it cost?",
        _costs(benchmark),
    ]
    return "\n\n".join(sections) + "\n"


def _how(data: BenchmarkRecording) -> str:
    training, images = data.training, data.images
    return (
        f"{data.title}. {data.networks} networks with different canonical keys were trained with one seed, "
        f"{data.repeated} of them with {data.seeds}: {training.epochs} epochs on {len(images.train)} training images "
        f"moved by up to {training.shift} pixels, batches of {training.batch_size}, SGD with learning rate "
        f"{training.learning_rate:g} falling to zero along a cosine, momentum {training.momentum:g}, weight decay "
        f"{training.weight_decay:g}. Measured on {len(images.validation)} validation images after every epoch and on "
        f"{len(images.test)} test images at the end."
    )


def _costs(benchmark: Benchmark) -> str:
    seeds = next(series.seeds for series in benchmark.series if series.name == TRAINING_SECONDS)
    seconds = np.stack([benchmark.cost(seed=seed) for seed in seeds])
    done = seconds[~np.isnan(seconds)]
    return (
        f"{len(done)} trainings took {done.sum() / 60:.0f} processor minutes on one thread each, {np.median(done):.2f} "
        f"seconds in the median, {done.min():.2f} to {done.max():.2f}. The benchmark takes "
        f"{benchmark.num_bytes / 1e6:.2f} MB."
    )


def _quantile_name(quantile: float) -> str:
    return f"{100 * quantile:.0f}%"
