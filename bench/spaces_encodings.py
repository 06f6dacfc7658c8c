"""Prints how long it takes to encode whole spaces on one core, beside plain Python that takes one cell at a time.

Seconds are processor time, the median of three runs; "ratio" is how many times longer plain Python takes for a cell,
and "peak" is how much memory the process needed at most by then, beyond what it had before it encoded anything.

    python bench/spaces_encodings.py [--few 300]
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from statistics import median

import torch

from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench101.encoders import ENCODERS as ENCODERS_101
from foretrain.spaces.nasbench101.encoders import VOCABULARY as VOCABULARY_101
from foretrain.spaces.nasbench201 import NASBench201
from foretrain.spaces.nasbench201.encoders import ENCODERS as ENCODERS_201
from foretrain.spaces.nasbench201.encoders import VOCABULARY as VOCABULARY_201
from timing import ratios, seconds_in_turn

Graph = tuple[list[str], list[list[int]]]
"""Labels of the vertices, and for each vertex those that lead to it."""


def main() -> None:
    """Measures and prints both spaces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=300, help="cells that plain Python encodes")
    few = parser.parse_args().few
    torch.set_num_threads(1)
    print(f"{'':32} {'cells':>8} {'seconds':>8} {'ratio':>7} {'peak MB':>8}")
    compare(NASBench201(), ENCODERS_201, VOCABULARY_201, (1, 3), few)
    compare(NASBench101(), ENCODERS_101, VOCABULARY_101, (0, 3), few)


def compare(
    space: SearchSpace,
    encoders: Mapping[str, Callable[[Architectures], object]],
    vocabulary: Vocabulary,
    lengths: tuple[int, int],
    few: int,
) -> None:
    """Prints a line for each encoding of a space."""
    archs = space.enumerate()
    some = archs[torch.randperm(len(archs), generator=torch.Generator().manual_seed(0))[:few]]
    graphs = encoders["graph"](some)
    references = plain_encoders(plain_graphs(graphs, vocabulary), plain_choices(some), vocabulary, lengths)
    before = peak_megabytes()
    for kind, reference in references:
        ours, plain = seconds_in_turn(lambda kind=kind: encoders[kind](archs), reference)
        ratio = median(ratios(plain, ours)) * len(archs) / few
        line = f"{space.name + ' ' + kind:32} {len(archs):8,} {median(ours):8.3f} {ratio:7.0f}"
        print(f"{line} {peak_megabytes() - before:8.0f}")


def peak_megabytes() -> float:
    """Returns the most memory that this process has needed so far (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plain_encoders(
    graphs: list[Graph], choices: list[list[int]], vocabulary: Vocabulary, lengths: tuple[int, int]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yields the name of each encoding and what plain Python does for it."""
    yield "one_hot", lambda: [plain_one_hot(values) for values in choices]
    yield "path", lambda: [plain_paths(graph, vocabulary, lengths) for graph in graphs]
    yield "sequence", lambda: [plain_sequence(graph, vocabulary) for graph in graphs]
    yield "graph", lambda: [plain_dense(graph, vocabulary) for graph in graphs]
    yield "graph_features", lambda: [plain_features(graph, vocabulary) for graph in graphs]


def plain_graphs(graphs: GraphBatch, vocabulary: Vocabulary) -> list[Graph]:
    """Returns the graphs as lists."""
    found = []
    for adjacency, vertices, mask in zip(graphs.adjacency, graphs.vertices, graphs.mask, strict=True):
        size = int(mask.sum())
        labels = [vocabulary.labels[column] for column in vertices[:size].argmax(1).tolist()]
        matrix = adjacency.tolist()
        found.append((labels, [[source for source in range(v) if matrix[source][v]] for v in range(size)]))
    return found


def plain_choices(archs: Architectures) -> list[list[int]]:
    """Returns all numbers of each architecture in one list."""
    return torch.cat([tensor.flatten(1) for tensor in archs.tensors()], dim=1).tolist()


def plain_one_hot(values: list[int]) -> list[float]:
    """Writes each number as five zeros and ones."""
    return [float(value == choice) for value in values for choice in range(5)]


def plain_dense(graph: Graph, vocabulary: Vocabulary) -> tuple[list[list[float]], list[list[float]]]:
    """Writes adjacency matrix and one-hot labels."""
    labels, sources = graph
    matrix = [[float(u in sources[v]) for v in range(len(labels))] for u in range(len(labels))]
    return matrix, [[float(label == name) for name in vocabulary.labels] for label in labels]


def plain_sequence(graph: Graph, vocabulary: Vocabulary) -> list[int]:
    """Writes the tokens vertex by vertex."""
    labels, sources = graph
    tokens = []
    for vertex in range(1, len(labels)):
        tokens += [2 if source in sources[vertex] else 1 for source in range(vertex)]
        tokens.append(vocabulary.labels.index(labels[vertex]) + 2)
    return tokens


def plain_routes(graph: Graph) -> list[list[str]]:
    """Lists the operations along each path from input to output."""
    labels, sources = graph
    arriving: list[list[list[str]]] = []
    for vertex, label in enumerate(labels):
        own = [] if label == "output" else [label]
        routes = [[*route, *own] for source in sources[vertex] for route in arriving[source]]
        arriving.append([[]] if label == "input" else routes)
    return arriving[labels.index("output")]


def plain_paths(graph: Graph, vocabulary: Vocabulary, lengths: tuple[int, int]) -> list[float]:
    """Writes the path encoding."""
    shortest, longest = lengths
    base = len(vocabulary.operations)
    encoded = [0.0] * sum(base**length for length in range(shortest, longest + 1))
    for route in plain_routes(graph):
        if shortest <= len(route) <= longest:
            number = 0
            for operation in route:
                number = number * base + vocabulary.operations.index(operation)
            encoded[sum(base**length for length in range(shortest, len(route))) + number] = 1.0
    return encoded


def plain_features(graph: Graph, vocabulary: Vocabulary) -> list[float]:
    """Writes the graph features."""
    labels, sources = graph
    routes = plain_routes(graph)
    passing = [name for name in vocabulary.operations if name not in vocabulary.void]
    output = labels.index("output")
    features: list[float] = []
    for size in range(1, len(passing) + 1):
        for subset in combinations(passing, size):
            lengths = [len(route) + 1 for route in routes if all(name in subset for name in route)]
            ends = {*subset, "input", "output"}
            features += [len(lengths), max(lengths, default=0), min(lengths, default=len(labels))]
            features.append(sum(0 in sources[v] and labels[v] in ends for v in range(len(labels))))
            features.append(sum(labels[v] in ends for v in sources[output]))
    live = [route for route in routes if all(name in passing for name in route)]
    for name in vocabulary.operations:
        features.append(labels.count(name))
    for name in passing:
        counts = [route.count(name) for route in live]
        features += [max(counts, default=0), min(counts, default=0)]
    return features


if __name__ == "__main__":
    main()
