"""Draws the decision figure and its table from the folders of runs: no number is typed in.

python docs/decision.py RUN...     writes docs/figures/decision.png and docs/figures/decision.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from foretrain.errors import DataError
from foretrain.evaluation.report import markdown_table, with_interval
from foretrain.integrations.report.measures import Measure, measures_of
from foretrain.integrations.report.runs import Run, find_runs
from foretrain.runtime.files import atomic_path, write_text

HERE = Path(__file__).parent / "figures"
COLUMNS = ["when", "estimator", "spearman", "lower", "upper", "baseline"]
_OWN_OVERRIDES = ("run_dir=", "parallel.", "data.cache=")
_CURVE_BASELINES = {"last_value", "best_so_far", "training_curve_last_value"}
_TAUGHT = ("few_shot", "support_vectors")  # the others need no finished runs and have a block of their own
Row = tuple[str, str, float, float | None, float | None, bool]


def rows_of(run: Run) -> Iterator[Row]:
    """Yields how well each estimator of a run ranks, and when it knows.

    Raises:
        DataError: The run's study has no place in the figure.
    """
    study = run.config.get("_target_", "").rpartition(".")[2]
    if study not in _READERS:
        raise DataError(run.folder, f"is a run of {study or 'nothing known'}", f"Give runs of {', '.join(_READERS)}")
    for measure in measures_of([run]):
        found = _READERS[study](run, measure) if measure.metric == "spearman" else None
        value = measure.values[0]
        if found is not None and value is not None:
            when, estimator, baseline = found
            yield when, estimator, value, measure.lower[0], measure.upper[0], baseline


def _score(_run: Run, measure: Measure) -> tuple[str, str, bool] | None:
    if "/" in measure.method or "in-sample" in measure.method:
        return None  # fitted and judged on the same networks
    return "before training (one batch)", measure.method, measure.baseline


def _curve(run: Run, measure: Measure) -> tuple[str, str, bool] | None:
    kind, _, method = measure.method.partition("/")
    if kind == "few_shot" and not method.startswith(_TAUGHT):
        return None
    taught = f", {run.config['finished']} finished runs known" if kind == "few_shot" else ""
    baseline = method in _CURVE_BASELINES
    return f"after {measure.at} epochs of training{taught}", method.replace("_", " "), baseline


def _predictor(run: Run, measure: Measure) -> tuple[str, str, bool] | None:
    return f"without training it, {run.config['n_train']} others known", measure.method, measure.baseline


_READERS: dict[str, Callable[[Run, Measure], tuple[str, str, bool] | None]] = {
    "HybridProxy": _score,
    "ScoreSpace": _score,
    "CurveEnsembles": _curve,
    "ComparePredictors": _predictor,
}


def gather(runs: Sequence[Run], most: int = 5) -> pd.DataFrame:
    """Returns one row an estimator, by when it knows; of each moment the baselines and the best of the others."""
    table = pd.DataFrame([row for run in runs for row in rows_of(run)], columns=COLUMNS)
    table = table.sort_values("spearman", ascending=False, kind="stable")
    kept = table["baseline"] | (table[~table["baseline"]].groupby("when").cumcount() < most).reindex(
        table.index, fill_value=False
    )
    moments = sorted(table["when"].unique(), key=_place)
    return table[kept].sort_values("when", key=lambda column: column.map(moments.index), kind="stable")


def _place(when: str) -> tuple[int, int, int]:
    """Scores first, then predictors, then curves, each by how much was paid."""
    number = int((re.findall(r"\d+", when) or ["0"])[0])
    return (("before", "without", "after").index(when.split(maxsplit=1)[0]), number, len(when))


def draw(table: pd.DataFrame, about: str, path: Path) -> None:
    """Draws one row an estimator, in blocks by when it knows; hollow marks are baselines."""
    moments = list(table["when"].unique())
    figure = Figure(figsize=(8.5, 1.2 + 0.24 * len(table) + 0.3 * len(moments)), dpi=130, layout="constrained")
    heights = [int((table["when"] == when).sum()) + 0.6 for when in moments]
    panels = figure.subplots(len(moments), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, when in zip(panels, moments, strict=True):
        rows = table[table["when"] == when].reset_index(drop=True)
        for place, row in rows.iterrows():
            colour, face = ("#666666", "white") if row["baseline"] else ("#0072B2", "#0072B2")
            if pd.notna(row["lower"]):
                axes.plot([row["lower"], row["upper"]], [place, place], color=colour, linewidth=2, alpha=0.5)
            axes.plot(row["spearman"], place, "o", color=colour, markerfacecolor=face, markersize=6)
        axes.set_yticks(range(len(rows)), rows["estimator"], fontsize=9)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_title(when, loc="left", fontsize=10, fontweight="bold")
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("Spearman's rank correlation with the final accuracy (hollow: baselines)")
    figure.suptitle(about, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def write_table(table: pd.DataFrame, runs: Sequence[Run], path: Path) -> None:
    """Writes the numbers of the figure and the commands that made them."""
    numbers = table[COLUMNS[2:5]].astype(float).itertuples(index=False, name=None)
    spearman = [with_interval(value, lower, upper) for value, lower, upper in numbers]
    shown = pd.DataFrame({"when": table["when"], "estimator": table["estimator"], "Spearman": spearman})
    shown["estimator"] += table["baseline"].map({True: " (baseline)", False: ""})
    commands = "\n".join(_command(run) for run in runs)
    write_text(path, f"{markdown_table(shown)}\n\nMade by\n\n```bash\n{commands}\npython docs/decision.py runs\n```\n")


def _command(run: Run) -> str:
    words = [str(word) for word in run.provenance.get("command", [])][1:]
    return " ".join(["python train.py", *(word for word in words if not word.startswith(_OWN_OVERRIDES))])


def main(folders: Sequence[str]) -> None:
    """Reads the runs and writes figure and table."""
    runs = find_runs([Path(folder) for folder in folders])
    table = gather(runs)
    benchmarks = sorted({run.config.get("benchmark.name", "") for run in runs})
    draw(table, f"How well the final ranking is foreseen: {', '.join(benchmarks)}", HERE / "decision.png")
    write_table(table, runs, HERE / "decision.md")


if __name__ == "__main__":
    main(sys.argv[1:])
