"""What a person reads of searches: figures, ``report.md`` and a short table on the console."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.evaluation.figures import Reference, lines_with_bands
from foretrain.evaluation.report import markdown_table, print_table, with_interval
from foretrain.evaluation.search.judging import Convergence, Gains, Targets
from foretrain.evaluation.search.runs import Searched
from foretrain.runtime.folder import RunFolder
from foretrain.search.objectives import BenchmarkPool

_BINS = 60
_SHARE_SHOWN = 0.95
_FIRST_SHOWN = 4
_SPACE = "the whole space"
_LARGEST = "largest possible"


def write_report(
    folder: RunFolder,
    task: BenchmarkTask,
    pool: BenchmarkPool,
    searched: dict[str, Searched],
    found: dict[str, Convergence],
    gains: dict[str, Gains],
    targets: Targets,
    table: pd.DataFrame,
) -> None:
    """Draws the figures and writes ``report.md``.

    Args:
        folder: The run's folder.
        task: The benchmark.
        pool: Its networks.
        searched: What each method did.
        found: What each method found.
        gains: The gain of each method at ``targets.all``.
        targets: The target errors.
        table: The table of :func:`~foretrain.evaluation.search.judging.convergence_table`.
    """
    about = _about(task, pool)
    _draw_convergence(folder.figures, pool, found, about)
    _draw_proposals(folder.figures / "proposals.png", pool, searched, about)
    _draw_gains(folder.figures, gains, targets, about)
    runs = len(next(iter(searched.values())).members)
    sections = [
        f"# Searches on {task.name}",
        f"{about}.",
        "## What is found after how many networks",
        (
            f"Mean over {runs} runs of the judged error (percent) of the network that looks best so far, with its 95% "
            f"interval. The best network there is has {100 - pool.judged.max():.2f}%."
        ),
        markdown_table(error_rows(table, "judged"), digits=2),
        "The same for the error that the searches see:",
        markdown_table(error_rows(table, "seen"), digits=2),
        "![Convergence of the judged error](figures/judged_error.png)",
        "![Convergence of the seen error](figures/seen_error.png)",
        "## How efficiently: the sample-efficiency gain",
        (
            "Decibel, `10 log10(E_space / E_candidates)` with `E = (n + 1) / (M + 1)` draws to the first success; the "
            "urn of candidates pools the proposals of all rounds and runs. In brackets the largest gain that the urns "
            "allow; "
            "-inf: no candidate reached the target, so no gain can be stated."
        ),
        markdown_table(gain_rows(gains, targets)),
        "![Gain](figures/gain.png)",
        (
            "The gain is the sum of that of the sampling (what was chosen from, over the space) and that of the "
            "predictor (the candidates, over what they were chosen from). The urn of what was chosen from pools all "
            "rounds and runs too: where only one network reaches the target, the whole space as a sample has -3 dB, "
            "not 0, since so many equal urns in one need about N draws, and one urn of N needs half as many."
        ),
        "![Gain of the sampling](figures/gain_sampling.png)",
        "![Gain of the predictor](figures/gain_predictor.png)",
        "![Errors of the proposed networks](figures/proposals.png)",
    ]
    folder.write_report("\n\n".join(sections) + "\n")


def print_summary(table: pd.DataFrame, gains: dict[str, Gains], targets: Targets) -> None:
    """Prints the main figures."""
    print_table(error_rows(table, "judged"), "Judged error (percent) of the best network so far, mean over runs", 2)
    print_table(gain_rows(gains, targets), "Sample-efficiency gain in decibel [largest possible]")


def error_rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Returns one row a method and one column a moment."""
    rows = []
    for method, of_method in table.groupby("method", sort=False):
        row: dict[str, object] = {"method": method}
        for point in of_method.to_dict("records"):
            mean, lower, upper = (float(point[f"{name}{end}"]) for end in ("", "_lower", "_upper"))
            row[f"after {point['networks']}"] = with_interval(mean, lower, upper, digits=2)
        rows.append(row)
    return pd.DataFrame(rows)


def gain_rows(gains: dict[str, Gains], targets: Targets) -> pd.DataFrame:
    """Returns one row a method and one column a target."""
    rows = []
    for method, gain in gains.items():
        row: dict[str, object] = {"method": method}
        for place, (rank, error) in enumerate(zip(targets.ranks, targets.top, strict=True)):
            row[f"top {rank} ({error:.2f}%)"] = f"{gain.whole[place]:.1f} [{gain.limit[place]:.1f}]"
        rows.append(row)
    return pd.DataFrame(rows)


def _about(task: BenchmarkTask, pool: BenchmarkPool) -> str:
    seen, judge = task.target, task.judge or task.target
    if task.judge is None:
        return f"{task.name}, {len(pool.space):,} networks, seen and judged by {seen.split} accuracy"
    return f"{task.name}, {len(pool.space):,} networks, seen by {seen.split}, judged by {judge.split} accuracy"


def _draw_convergence(folder: Path, pool: BenchmarkPool, found: dict[str, Convergence], about: str) -> None:
    """The source's figures 4, 5, 9 and 10."""
    incumbent = 100 - pool.judged[pool.seen.argmax()]
    oracles = {
        "seen": [Reference(100 - pool.seen.max(), "best network")],
        "judged": [Reference(100 - pool.judged.max(), "best network")],
    }
    if incumbent > oracles["judged"][0].value:
        oracles["judged"].append(Reference(incumbent, "network seen as best"))
    for name, references in oracles.items():
        parts = []
        for method, convergence in found.items():
            values = getattr(convergence, name)
            mean, spread = values.mean(axis=0), values.std(axis=0)
            x = np.arange(1, len(mean) + 1)
            line = pd.DataFrame(
                {"method": method, "x": x, "value": mean, "lower": mean - spread, "upper": mean + spread}
            )
            parts.append(line[_FIRST_SHOWN - 1 :])
        lowest = references[0].value
        highest = max(part["value"].iloc[min(10 - _FIRST_SHOWN, len(part) - 1)] for part in parts)
        labels = ("networks evaluated", f"{name} error of the best so far (%)\nmean and deviation over runs")
        limits = (lowest - 0.05 * (highest - lowest), highest)
        path = folder / f"{name}_error.png"
        title = f"Convergence of the {name} error"
        lines_with_bands(pd.concat(parts), path, title, labels, about, references, limits, log_x=True)


def _draw_proposals(path: Path, pool: BenchmarkPool, searched: dict[str, Searched], about: str) -> None:
    """The source's figures 2 and 6: the density of the seen errors of all that was proposed."""
    errors = 100 - pool.seen
    edges = np.linspace(errors.min(), np.quantile(errors, _SHARE_SHOWN), _BINS + 1)
    populations = {name: errors[item.proposed()] for name, item in searched.items()} | {_SPACE: errors}
    parts = []
    for name, values in populations.items():
        density = np.histogram(values, edges)[0] / max(1, len(values)) / (edges[1] - edges[0])
        middles = (edges[:-1] + edges[1:]) / 2
        parts.append(pd.DataFrame({"method": name, "x": middles, "value": density, "lower": np.nan, "upper": np.nan}))
    labels = ("seen error (%)", "share of the proposed networks\nper point of error")
    lines_with_bands(pd.concat(parts), path, "Errors of the proposed networks", labels, about, background=_SPACE)


def _draw_gains(folder: Path, gains: dict[str, Gains], targets: Targets, about: str) -> None:
    """The source's figures 3, 7 and 8."""
    grid = slice(len(targets.top), None)
    on_grid = {name: gain.part(grid) for name, gain in gains.items()}
    label = ("target error (%)", "sample-efficiency gain (dB)")
    curves = {name: gain.whole for name, gain in on_grid.items()}
    curves[_LARGEST] = np.max([gain.limit for gain in on_grid.values()], axis=0)
    path = folder / "gain.png"
    lines_with_bands(_curves(curves, targets), path, "Sample-efficiency gain", label, about, background=_LARGEST)
    chose = {name: gain for name, gain in on_grid.items() if np.isfinite(gain.sampling).any()}
    for part in ("sampling", "predictor") if chose else ():
        curves = {name: getattr(gain, part) for name, gain in chose.items()}
        path = folder / f"gain_{part}.png"
        lines_with_bands(_curves(curves, targets), path, f"Gain of the {part}", label, about)


def _curves(curves: dict[str, np.ndarray], targets: Targets) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"method": name, "x": targets.grid, "value": values, "lower": np.nan, "upper": np.nan})
        for name, values in curves.items()
    ]
    return pd.concat(parts)
