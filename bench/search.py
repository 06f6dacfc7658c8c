"""How fast the GCN ranks and learns, and how fast candidates are drawn.

    python bench/search.py          # all parts
    python bench/search.py learn    # some of: rank, learn, draw, climb, warm, search

Prints ratios to the matrix products of the same arithmetic, taken in turn with it, and processor seconds. The peak is
that of a matrix product of the GCN's own shape, [vertices, 256] by [256, 256].
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from foretrain.benchmarks.task import BenchmarkTask, Target
from foretrain.metrics.rank import spearman
from foretrain.predictors.gcn import GCNRanker
from foretrain.predictors.gcn.loss import pairwise_cross_entropy
from foretrain.predictors.gcn.neighbourhoods import Neighbourhoods
from foretrain.predictors.gcn.network import GCN, score_graphs
from foretrain.search.ascent import Kept, MaximumLikelihood, climb
from foretrain.search.guided import PredictorSearch
from foretrain.search.history import History, Outcome
from foretrain.search.loop import run_search
from foretrain.search.objectives import BenchmarkPool
from foretrain.search.samplers import Evolutionary, Uniform
from foretrain.spaces.encodings.graph import GraphBatch
from foretrain.spaces.finite import FiniteSpace
from foretrain.spaces.modules import Members
from foretrain.spaces.nasbench101 import Cells101, NASBench101
from timing import seconds, seconds_in_turn

WIDTH = 256
GRAPHS_IN_TURN = 20_000
"""Graphs of the dense path that are timed in turn with their matrix products; the whole space follows from them."""

TRAINED_ON = 1000
EPOCHS = 20
ASCENTS = 200
WARM_SEEDS = 5


def main() -> None:
    """Prints the figures of the parts that are named, or of all."""
    for name in sys.argv[1:] or PARTS:
        torch.manual_seed(0)
        PARTS[name]()
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def rank() -> None:
    """Ranks all cells of NAS-Bench-101, densely and by shared views."""
    base = NASBench101()
    gcn = GCN(len(base.vocabulary.labels))
    graphs = base.encode(base.enumerate(), "graph")
    drawn = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0))
    _rank_densely(gcn, graphs, graphs[drawn[:GRAPHS_IN_TURN]])
    _rank_by_views(gcn, graphs)


def _products(vertices: int, times: int) -> None:
    """Matrix products of so many vertices' features with the weights of two layers."""
    features, weight = torch.ones(1 << 13, WIDTH), torch.ones(WIDTH, WIDTH)
    for _ in range(round(times * 2 * vertices / len(features))):
        features @ weight


def _rank_densely(gcn: GCN, graphs: GraphBatch, part: GraphBatch) -> None:
    vertices = int(part.mask.sum())
    ours, bare = seconds_in_turn(lambda: score_graphs(gcn, part), lambda: _products(vertices, 1))
    share = np.median(np.array(bare) / np.array(ours))
    whole = np.median(ours) * int(graphs.mask.sum()) / vertices
    print(f"dense path: {share:.0%} of the peak of matrix products (goal: at least 50%)")
    print(f"dense path: {whole:.1f} processor seconds for all {len(graphs):,} cells (goal: 50 on two cores)")


def _rank_by_views(gcn: GCN, graphs: GraphBatch) -> None:
    taken_apart = seconds(lambda: Neighbourhoods.of(graphs, gcn), runs=1)
    views = Neighbourhoods.of(graphs, gcn)
    with torch.no_grad():
        ranked = seconds(lambda: views.score(gcn))
        some = torch.arange(0, len(graphs), 200)
        apart = float((views.score(gcn)[some] - score_graphs(gcn, graphs[some])).abs().max())
    counts = ", ".join(f"{len(layer.scale):,}" for layer in views.layers)
    print(f"shared views ({counts} of {int(graphs.mask.sum()):,} vertices): found once in {taken_apart:.1f} s")
    print(f"shared views: all {len(graphs):,} cells ranked in {ranked:.2f} processor seconds, {apart:.0e} from dense")


def learn() -> None:
    """Takes a step of the descent on a thousand networks."""
    base = NASBench101()
    gcn = GCN(len(base.vocabulary.labels))
    graphs = base.encode(base.sample(TRAINED_ON, torch.Generator().manual_seed(0)), "graph")
    accuracies = torch.rand(len(graphs))
    optimizer = torch.optim.SGD(gcn.parameters(), lr=0.01, momentum=0.9)
    views, sizes = Neighbourhoods.of(graphs, gcn), graphs.mask.sum(1)

    def epoch(score: Callable[[], Tensor]) -> None:
        optimizer.zero_grad()
        pairwise_cross_entropy(score(), accuracies).backward()
        optimizer.step()

    # Forwards, and backwards by the features and by the weights
    vertices = int(graphs.mask.sum())
    for name, score in (
        ("shared views", lambda: views.score(gcn)),
        ("dense path", lambda: gcn(graphs.adjacency, graphs.vertices, sizes)),
    ):
        ours, bare = seconds_in_turn(lambda score=score: epoch(score), lambda: _products(vertices, 3), EPOCHS)
        each = np.quantile(np.array(ours) / np.array(bare), [0.1, 0.5, 0.9])
        print(
            f"an epoch on {len(graphs)} networks, {name}: {each[1]:.2f} times its matrix products "
            f"({each[0]:.2f} to {each[2]:.2f} in 8 of 10 epochs; goal: 1.3)"
        )


def draw() -> None:
    """Draws candidates of NAS-Bench-101."""
    space, history, ranker, generator = _searched()
    samplers = {
        "uniform": (Uniform(10_000), 3),
        "evolutionary": (Evolutionary(10_000), 3),
        "maximum likelihood": (MaximumLikelihood(100), 1),
    }
    for name, (sampler, runs) in samplers.items():
        needed = seconds(lambda sampler=sampler: sampler.sample(space, history, ranker, generator), runs)
        print(f"{sampler.size:,} networks by {name} sampling: {needed:.3f} processor seconds")


def climb_up() -> None:
    """Climbs from random starts, and says what of the height is left in valid cells."""
    pool = BenchmarkPool(BenchmarkTask("nasbench101", Target(split="test", epochs=108)))
    drawn = torch.randperm(len(pool.space), generator=torch.Generator().manual_seed(0))
    best = torch.from_numpy(np.argsort(-pool.seen)[:400:10].copy())
    for name, known in {
        "100 random cells": drawn[:100],
        "60 and 40 of the best 400": torch.cat([drawn[:60], best]),
    }.items():
        ranker = GCNRanker(pool.space, **FAST).fit(Members(known), pool.seen[known])
        middle = float(np.median(ranker.predict(pool.space.enumerate()).score))
        print(f"a ranker that knows {name} gives the median cell a score of {middle:.2f}")
        for keep, steps in (("best", 20), ("end", 20), ("end", 100)):
            _climb(pool.space, ranker, keep, steps)


def _climb(space: FiniteSpace[Cells101], ranker: GCNRanker, keep: Kept, steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    found = climb(ranker.learned, space, space.relaxation(), ASCENTS, steps, 0.3, generator, keep)
    along = found.relaxed.mean(1)
    print(
        f"{ASCENTS} ascents of {steps} steps, keep={keep}: mean score {along[0]:.2f} at the start, {along[4]:.2f} "
        f"after 5 steps, {along[-1]:.2f} at the end; {len(found.archs)} gave a valid cell, "
        f"{len(space.codes(found.archs).unique())} different ones, mean score {found.scores.mean():.2f}"
    )


def _searched() -> tuple[FiniteSpace[Cells101], History, GCNRanker, torch.Generator]:
    """NAS-Bench-101, two hundred cells of it with accuracies, and a ranker that knows a hundred of these."""
    generator = torch.Generator().manual_seed(0)
    pool = BenchmarkPool(BenchmarkTask("nasbench101", Target(split="test", epochs=108)))
    archs = pool.space.sample(200, generator)
    accuracy = pool.seen[archs.index.numpy()]
    history = History.empty(pool.space).extended(archs, Outcome(accuracy, ("",) * 200))
    return pool.space, history, GCNRanker(pool.space, **FAST).fit(archs[:100], accuracy[:100]), generator


def warm() -> None:
    """Ranks cells after rounds of four up to a hundred: learned on, or from random weights at last."""
    pool = BenchmarkPool(BenchmarkTask("nasbench101", Target(split="test", epochs=108)))
    qualities: dict[str, list[float]] = {name: [] for name in WAYS}
    needed = dict.fromkeys(WAYS, 0.0)
    for seed in range(WARM_SEEDS):
        drawn = torch.randperm(len(pool.space), generator=torch.Generator().manual_seed(seed))
        known, judged = drawn[:100], drawn[100:3100]
        for name, learn_all in WAYS.items():
            start = time.process_time()
            ranker = learn_all(pool, known, seed)
            needed[name] += (time.process_time() - start) / WARM_SEEDS
            qualities[name].append(spearman(pool.seen[judged], ranker.predict(Members(judged)).score))
    for name, found in qualities.items():
        each = ", ".join(f"{quality:.3f}" for quality in found)
        print(
            f"{name}: Spearman {np.mean(found):.3f} on 3,000 cells, from 100 ({each}), "
            f"{needed[name]:.1f} processor seconds"
        )


def _published(pool: BenchmarkPool, known: Tensor, seed: int) -> GCNRanker:
    return GCNRanker(pool.space, seed).fit(Members(known), pool.seen[known])


def _anew(pool: BenchmarkPool, known: Tensor, seed: int) -> GCNRanker:
    return GCNRanker(pool.space, seed, **FAST).fit(Members(known), pool.seen[known])


def _updated(pool: BenchmarkPool, known: Tensor, seed: int) -> GCNRanker:
    ranker = GCNRanker(pool.space, seed, **FAST)
    for count in range(4, len(known) + 1, 4):
        ranker.update(Members(known[:count]), pool.seen[known[:count]])
    return ranker


def _never_anew(pool: BenchmarkPool, known: Tensor, seed: int) -> GCNRanker:
    ranker = GCNRanker(pool.space, seed, **FAST)
    for count in range(4, len(known) + 1, 4):
        ranker.update(Members(known[:count]), pool.seen[known[:count]])
        ranker.set_state({**ranker.state(), "fitted_on": torch.tensor(len(pool.space))})
    return ranker


FAST = {"epochs": 200, "update_epochs": 40, "learning_rate": 0.1}
"""As in conf/predictor/gcn_fast.yaml."""

WAYS = {
    "as published, 2,000 steps from random weights": _published,
    "200 steps from random weights": _anew,
    "warm start: 40 steps after every four networks, from random weights when doubled": _updated,
    "warm start, never from random weights again": _never_anew,
}


def search() -> None:
    """Searches NAS-Bench-101 to 300 networks, with evolutionary sampling and warm starts."""
    pool = BenchmarkPool(BenchmarkTask("nasbench101", Target(split="test", epochs=108)))
    predictor = partial(GCNRanker, **FAST)
    strategy = PredictorSearch(pool.space, predictor=predictor, sampler=Evolutionary(1000), warm_start=True)
    start = time.process_time()
    history = run_search(strategy, pool.objective(), budget=300, seed=0)
    needed = time.process_time() - start
    print(
        f"one search to {len(history)} networks, 1,000 evolutionary candidates a round, warm starts: {needed:.0f} "
        f"processor seconds (goal: 600, five minutes on two cores); best error {100 - np.nanmax(history.accuracy):.2f}%"
    )


PARTS = {"rank": rank, "learn": learn, "draw": draw, "climb": climb_up, "warm": warm, "search": search}


if __name__ == "__main__":
    main()
