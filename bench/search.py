"""How fast the GCN ranks and learns, and how fast candidates are drawn.

    python bench/search.py

Prints ratios to the matrix products of the same arithmetic, taken in turn with it, and processor seconds. The peak is
that of a matrix product of the GCN's own shape, [vertices, 256] by [256, 256].
"""

from __future__ import annotations

import resource
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from foretrain.benchmarks.task import BenchmarkTask, Target
from foretrain.metrics.rank import spearman
from foretrain.predictors.gcn import GCNRanker
from foretrain.predictors.gcn.loss import pairwise_cross_entropy
from foretrain.predictors.gcn.neighbourhoods import Neighbourhoods
from foretrain.predictors.gcn.network import GCN, score_graphs
from foretrain.search.ascent import MaximumLikelihood
from foretrain.search.history import History, Outcome
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
WARM_SEEDS = 5


def main() -> None:
    """Prints all figures."""
    torch.manual_seed(0)
    base = NASBench101()
    gcn = GCN(len(base.vocabulary.labels))
    everything = base.enumerate()
    graphs = base.encode(everything, "graph")
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randperm(len(everything), generator=generator)
    _rank_densely(gcn, graphs, graphs[drawn[:GRAPHS_IN_TURN]])
    _rank_by_views(gcn, graphs)
    _learn(gcn, graphs[drawn[:TRAINED_ON]])
    _draw(FiniteSpace(base, everything), generator)
    _learn_on()
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


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


def _learn(gcn: GCN, graphs: GraphBatch) -> None:
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
        ours, bare = seconds_in_turn(lambda score=score: epoch(score), lambda: _products(vertices, 3))
        ratio = np.median(np.array(ours) / np.array(bare))
        print(f"an epoch on {len(graphs)} networks, {name}: {ratio:.2f} times its matrix products (goal: 1.3)")


def _draw(space: FiniteSpace[Cells101], generator: torch.Generator) -> None:
    archs = space.sample(200, generator)
    accuracy = np.linspace(0, 1, 200)
    history = History.empty(space).extended(archs, Outcome(accuracy, ("",) * 200))
    ranker = GCNRanker(space, epochs=50, learning_rate=0.1).fit(archs, accuracy)
    samplers = {
        "uniform": (Uniform(10_000), 3),
        "evolutionary": (Evolutionary(10_000), 3),
        "maximum likelihood": (MaximumLikelihood(100), 1),
    }
    for name, (sampler, runs) in samplers.items():
        needed = seconds(lambda sampler=sampler: sampler.sample(space, history, ranker, generator), runs)
        print(f"{sampler.size:,} networks by {name} sampling: {needed:.2f} processor seconds")


def _learn_on() -> None:
    """Ranks cells of NAS-Bench-101 after rounds of four up to a hundred: learned on, or from random weights at last."""
    pool = BenchmarkPool(BenchmarkTask("nasbench101", Target(split="test", epochs=108)))
    qualities: dict[str, list[float]] = {"from random weights": [], "update": [], "never from random weights": []}
    for seed in range(WARM_SEEDS):
        drawn = torch.randperm(len(pool.space), generator=torch.Generator().manual_seed(seed))
        known, judged = drawn[:100], drawn[100:3100]
        for name, found in qualities.items():
            ranker = GCNRanker(pool.space, seed, epochs=200, update_epochs=40, learning_rate=0.1)
            for count in [100] if name == "from random weights" else range(4, 101, 4):
                ranker.update(Members(known[:count]), pool.seen[known[:count]])
                if name == "never from random weights":
                    ranker.set_state({**ranker.state(), "fitted_on": torch.tensor(len(pool.space))})
            found.append(spearman(pool.seen[judged], ranker.predict(Members(judged)).score))
    for name, found in qualities.items():
        each = ", ".join(f"{quality:.3f}" for quality in found)
        print(f"warm start, {name}: Spearman {np.mean(found):.3f} on 3,000 cells, from 100 ({each})")


if __name__ == "__main__":
    main()
