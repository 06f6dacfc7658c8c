"""The study that scores a space, or a sample of it, and judges the scores by what a benchmark has measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from foretrain.benchmarks.contents import Series
from foretrain.benchmarks.extension import with_columns
from foretrain.benchmarks.table import Rows
from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import ConfigError
from foretrain.evaluation.proxies.judging import RANKED, judge_scores
from foretrain.evaluation.proxies.space_scores import ScoringData, ScoringPlan, Work, check_proxies, score_space
from foretrain.evaluation.report import markdown_table, print_table
from foretrain.metrics.rank import bootstrap_interval, spearman
from foretrain.proxies.table import PROXIES
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext, Study

WHOLE = Work()


@dataclass(frozen=True)
class Published:
    """Published scores to compare with.

    Attributes:
        scores: Name of a proxy to name of the benchmark's score.
        dataset: The data set of the published scores; None where there is only one.
    """

    scores: dict[str, str]
    dataset: str | None = None


class ScoreSpace(Study):
    """Scores networks of a benchmark's space, without training any.

    ``predictions.parquet`` has one row a network. While the study runs, finished networks are in Parquet files of a
    few rows each in the cache; an interrupted run goes on with what is missing, and a run with more networks reuses
    those of a smaller one.

    Args:
        benchmark: The space, its networks and their accuracies, which the scores are judged on in the end.
        data: The images that networks are scored on.
        proxies: The proxies.
        networks: How many networks, drawn at random; None takes all.
        sample_seed: Seed of that draw: runs of other seeds score the same networks.
        repeats: Initialisations of each network that are averaged over.
        published: Published scores to compare with; networks are then drawn from those that have all of them.
        work: How the networks are shared out.
        extend: Leave a copy of the benchmark that has these scores, and their seconds as costs, in the run's folder.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        data: ScoringData,
        proxies: list[str],
        networks: Annotated[int, Field(ge=2)] | None = None,
        sample_seed: Annotated[int, Field(ge=0)] = 0,
        repeats: Annotated[int, Field(ge=1)] = 1,
        published: Published | None = None,
        work: Work = WHOLE,
        extend: bool = False,
    ) -> None:
        check_proxies(proxies, data.batches)
        self.published = Published({}) if published is None else published
        for name in self.published.scores:
            if name not in proxies:
                raise ConfigError(f"published.scores.{name}", "is none of the proxies", allowed=proxies)
        self.benchmark = benchmark
        self.data = data
        self.proxies = proxies
        self.networks = networks
        self.sample_seed = sample_seed
        self.repeats = repeats
        self.work = work
        self.extend = extend

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        rows = self._rows()
        plan = ScoringPlan(self.benchmark.space, self.data, tuple(self.proxies), self.repeats, context.seed)
        names = [self.benchmark.benchmark.names[row] for row in rows]
        started = time.perf_counter()
        table = score_space(plan, names, context.parallel, self.work)
        scored = time.perf_counter() - started
        rows = self.benchmark.benchmark.rows(table["architecture"].tolist())
        judged, agreement = self._judge(table, rows, context.seed), self._agreement(table, rows, context.seed)
        kept = [name for name in table if not str(name).endswith("seconds")]
        context.folder.write_predictions(table[kept].rename(columns={"architecture": "arch_id"}))
        context.folder.write_metrics(_metrics(judged, agreement))
        context.folder.write_provenance(
            context.seed,
            {"images": self.data.images.fingerprint, "benchmark.json": self.benchmark.benchmark.sha256},
        )
        context.folder.write_report(self._report(len(table), judged, agreement))
        print_table(judged.drop(columns="seconds"), f"Scores of {len(table)} networks against their accuracy")
        if self.extend:
            self._extend(table, rows, context.folder.path)
        if len(agreement):
            print_table(agreement, "Spearman between these scores and the published ones")
        return {"score": scored} | {f"median/{name}": float(table[f"{name}_seconds"].median()) for name in self.proxies}

    def _rows(self) -> Rows:
        """The networks, in an order in which a smaller number is the beginning of a larger one."""
        rows = self.benchmark.known
        for name in self.published.scores.values():
            rows = rows[~np.isnan(self._published_scores(name)[rows])]
        if self.networks is None:
            return rows
        if self.networks > len(rows):
            raise ConfigError("networks", "more than there are", self.networks, f"at most {len(rows)}")
        order = np.random.default_rng(derive_seed(self.sample_seed, "networks")).permutation(len(rows))
        return rows[order[: self.networks]]

    def _published_scores(self, name: str) -> NDArray[np.float64]:
        return self.benchmark.benchmark.scores(name, dataset=self.published.dataset)

    def _judge(self, table: pd.DataFrame, rows: Rows, seed: int) -> pd.DataFrame:
        truth = self.benchmark.judged[rows]
        signed = {name: PROXIES[name].direction * table[name].to_numpy(dtype=np.float64) for name in self.proxies}
        seconds = {name: float(table[f"{name}_seconds"].median()) for name in self.proxies}
        return judge_scores(signed, truth, seed, seconds)

    def _extend(self, table: pd.DataFrame, rows: Rows, parent: Path) -> None:
        """Writes the benchmark with these scores, as a folder of its name, unless an earlier call has."""
        benchmark, dataset = self.benchmark.benchmark, self.data.image
        folder = parent / benchmark.description.name
        if folder.exists():
            return
        columns = {}
        for name in self.proxies:
            for series, column in (
                (Series("score", name, dataset), name),
                (Series("cost", f"{name}_seconds", dataset), f"{name}_seconds"),
            ):
                columns[series] = np.full(len(benchmark), np.nan)
                columns[series][rows] = table[column]
        with_columns(benchmark, columns, folder)

    def _agreement(self, table: pd.DataFrame, rows: Rows, seed: int) -> pd.DataFrame:
        """Spearman between each proxy and its published column, over networks that have both."""
        found: list[dict[str, Any]] = []
        for name, theirs in self.published.scores.items():
            ours, published = table[name].to_numpy(dtype=np.float64), self._published_scores(theirs)[rows]
            both = np.isfinite(ours) & np.isfinite(published)
            pair = published[both], ours[both]
            lower, upper = bootstrap_interval(spearman, *pair, seed=seed)
            row = {"proxy": name, "published": theirs, "networks": int(both.sum())}
            found.append(row | {"spearman": spearman(*pair), "lower": lower, "upper": upper})
        return pd.DataFrame(found)

    def _report(self, networks: int, judged: pd.DataFrame, agreement: pd.DataFrame) -> str:
        sections = [
            f"# Scores of {networks} networks of {self.benchmark.name}",
            _how(self.data, self.repeats),
            "## How well do they rank?",
            markdown_table(judged.drop(columns="seconds")),
            RANKED,
        ]
        if len(agreement):
            sections += [
                "## Do they agree with the published scores?",
                markdown_table(agreement),
                "Spearman between both scores over the networks that have both, with its 95% bootstrap interval.",
            ]
        return "\n\n".join(sections) + "\n"


def _how(data: ScoringData, repeats: int) -> str:
    mirrored = ", mirrored at random" if data.flip else ""
    return (
        f"Batches of {data.batch_size} images of {data.image}, moved by up to {data.shift} pixels{mirrored}; "
        f"{repeats} initialisation{'s' * (repeats > 1)} a network. No network was trained."
    )


def _metrics(judged: pd.DataFrame, agreement: pd.DataFrame) -> dict[str, float]:
    metrics = {
        f"{row['score']}/{name}": row[name]
        for row in judged.to_dict("records")
        for name in judged.columns
        if name not in ("score", "seconds")
    }
    return metrics | {f"{row['proxy']}/agreement": row["spearman"] for row in agreement.to_dict("records")}
