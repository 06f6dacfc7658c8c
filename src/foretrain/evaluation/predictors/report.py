"""What a person reads of a comparison of predictors."""

from __future__ import annotations

import math

import pandas as pd

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.evaluation.predictors.comparison import Draw
from foretrain.evaluation.predictors.figures import spread_over_trials
from foretrain.evaluation.predictors.judging import METRICS
from foretrain.evaluation.report import markdown_table, print_table, with_interval
from foretrain.runtime.folder import RunFolder

_LABELS = {"mae": "MAE", "rmse": "RMSE", "pearson": "Pearson", "spearman": "Spearman", "kendall": "Kendall"}
_EXPLANATION = (
    "Mean and standard deviation over the trials; errors in points of accuracy. The difference is Spearman's "
    "correlation minus that of the reference on the same split, with its 95% bootstrap interval over trials. Seconds "
    "are in `timings.json`."
)


def write_report(
    folder: RunFolder, task: BenchmarkTask, draw: Draw, trials: pd.DataFrame, summary: pd.DataFrame
) -> None:
    """Draws the figure and writes ``report.md``.

    Args:
        folder: The run's folder.
        task: What was foreseen.
        draw: The splits.
        trials: One row a predictor and trial.
        summary: One row a predictor, the best first.
    """
    about = describe(task, draw)
    order = summary["predictor"].tolist()
    spread_over_trials(trials, order, folder.figures / "comparison.png", about)
    sections = [
        "# Predictors compared",
        about,
        markdown_table(readable(summary)),
        _EXPLANATION,
        "![Spearman's correlation and error over the trials](figures/comparison.png)",
    ]
    folder.write_report("\n\n".join(sections) + "\n")


def print_summary(summary: pd.DataFrame, seconds: pd.DataFrame) -> None:
    """Prints the main figures."""
    shown = summary[["predictor", "spearman", "spearman_std", "mae", "mae_std"]]
    print_table(shown.merge(seconds[["predictor", "fit_seconds", "query_seconds"]], how="left"), "Predictors compared")


def print_variants(summary: pd.DataFrame) -> None:
    """Prints what each combination reaches."""
    shown = summary[["predictor", "spearman", "spearman_std", "mae", "minus_reference", "labels_spearman"]]
    print_table(shown, "Cheap labels and scores")


def describe(task: BenchmarkTask, draw: Draw) -> str:
    """Says in a sentence or two what was compared on what."""
    target = "/".join(str(part) for part in (task.target.dataset, task.target.split, task.target.epochs) if part)
    drawn = f"the {len(draw.among(task))} networks of {task.name}"
    limited = f" whose score {draw.with_score} is known" if draw.with_score else ""
    given = f" Scores given: {', '.join(draw.scores)}." if draw.scores else ""
    return (
        f"{draw.n_train} networks to learn from and {draw.n_test} others to judge on, {draw.trials} times drawn from "
        f"{drawn}{limited}; foreseen is the accuracy {target} (seed {task.target.seed}). A test network may equal a "
        f"training network under another name.{given}"
    )


def readable(summary: pd.DataFrame) -> pd.DataFrame:
    """Returns the summary with each metric as ``mean ± standard deviation``."""
    rows = []
    for row in summary.to_dict("records"):
        spread = {_LABELS[name]: _with_deviation(row[name], row[f"{name}_std"]) for name in METRICS}
        difference = with_interval(row["minus_reference"], row["lower"], row["upper"])
        rows.append({"predictor": row["predictor"], **spread, "difference": difference})
    return pd.DataFrame(rows)


def _with_deviation(mean: float, deviation: float) -> str:
    return "-" if math.isnan(mean) else f"{mean:.3f} ± {deviation:.3f}"
