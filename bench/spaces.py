"""Prints how fast the spaces work on one core, beside plain Python that does the same one architecture at a time.

Command: ``python bench/spaces.py [--count 100000]``. The environment variable ``FORETRAIN_DATA`` names the folder of
published tables; without it the measurements that read them are left out.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from foretrain.spaces.nasbench101 import Cells101, NASBench101
from timing import ratios, seconds, seconds_in_turn

NASBENCH101_TABLE = "nasbench101/cells_test_accuracy.parquet"
NASBENCH101_COLUMNS = ["edge_bits", "n", "op1", "op2", "op3", "op4", "op5"]

Matrix = list[list[int]]
Cell = tuple[Matrix, list[int]]


@dataclass(frozen=True)
class Comparison:
    """What is done, for how many architectures, by us and by plain Python (which may do fewer)."""

    name: str
    count: int
    ours: Callable[[], object]
    reference_count: int
    reference: Callable[[], object]


def main() -> None:
    """Measures and prints all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="architectures per measurement")
    count = parser.parse_args().count
    torch.set_num_threads(1)
    print(f"{'':38} {'per second':>12} {'plain Python':>13} {'ratio':>7}")
    for comparison in nasbench101_comparisons(count):
        print_comparison(comparison)
    if "FORETRAIN_DATA" in os.environ:
        print_whole_nasbench101(Path(os.environ["FORETRAIN_DATA"]) / NASBENCH101_TABLE)


def print_comparison(comparison: Comparison) -> None:
    """Prints both rates and their ratio."""
    ours, reference = seconds_in_turn(comparison.ours, comparison.reference)
    rate, reference_rate = comparison.count / median(ours), comparison.reference_count / median(reference)
    ratio = median(ratios(reference, ours)) * comparison.count / comparison.reference_count
    print(f"{comparison.name:38} {rate:12,.0f} {reference_rate:13,.0f} {ratio:7.1f}")


def nasbench101_comparisons(count: int) -> Iterator[Comparison]:
    """Yields the comparisons of NAS-Bench-101 on cells drawn uniformly from the whole space."""
    space, generator, rng = NASBench101(), torch.Generator().manual_seed(0), random.Random(0)
    whole = space.enumerate()
    cells = whole[torch.randint(len(whole), (count,), generator=generator)]
    others = cells[torch.randperm(count, generator=generator)]
    few = 1000
    plain, plain_others = plain_cells(cells[:few]), plain_cells(others[:few])
    table, plain_table = cells.to_table(), [column[:few].tolist() for column in cells.to_table()]
    hashed = cells[: count // 10]
    strings = space.format(cells)
    yield Comparison(
        "nasbench101 sample", count, lambda: space.sample(count, generator), few, lambda: plain_sample(few, rng)
    )
    for rate in (0.05, 0.5):
        yield Comparison(
            f"nasbench101 mutate, rate {rate}",
            count,
            lambda rate=rate: space.mutate(cells, generator, rate),
            few,
            lambda rate=rate: [plain_mutate(cell, rate, rng) for cell in plain],
        )
    yield Comparison(
        "nasbench101 crossover",
        count,
        lambda: space.crossover(cells, others, generator),
        few,
        lambda: [plain_crossover(*pair, rng) for pair in zip(plain, plain_others, strict=True)],
    )
    yield Comparison(
        "nasbench101 prune", count, lambda: space.prune(cells), few, lambda: [plain_prune(cell) for cell in plain]
    )
    yield Comparison(
        "nasbench101 canonical (module hash)",
        len(hashed),
        lambda: space.canonical(hashed),
        few,
        lambda: [plain_hash(cell) for cell in plain],
    )
    yield Comparison(
        "nasbench101 from_table",
        count,
        lambda: Cells101.from_table(*table),
        few,
        lambda: [plain_decode(*row) for row in zip(*plain_table, strict=True)],
    )
    yield Comparison(
        "nasbench101 format", count, lambda: space.format(cells), few, lambda: [plain_format(cell) for cell in plain]
    )
    yield Comparison(
        "nasbench101 parse", count, lambda: space.parse(strings), few, lambda: [plain_parse(s) for s in strings[:few]]
    )


def print_whole_nasbench101(path: Path) -> None:
    """Prints seconds and size of the whole published space as one batch, and seconds of its enumeration."""

    def load() -> Cells101:
        frame = pd.read_parquet(path, columns=NASBENCH101_COLUMNS)
        return Cells101.from_table(frame["edge_bits"], frame["n"], frame[NASBENCH101_COLUMNS[2:]])

    cells = load()
    megabytes = sum(tensor.nbytes for tensor in cells.tensors()) / 1e6
    print(f"whole nasbench101: {len(cells):,} cells of {megabytes:.1f} MB, read in {seconds(load):.2f} s,", end=" ")
    print(f"enumerated in {seconds(NASBench101().enumerate):.2f} s")


def plain_cells(cells: Cells101) -> list[Cell]:
    """Returns ``(matrix, operations)`` of each cell without absent vertices."""
    sizes = cells.num_vertices.tolist()
    rows = zip(cells.adjacency.tolist(), cells.ops.tolist(), sizes, strict=True)
    return [([row[:size] for row in matrix[:size]], ops[:size]) for matrix, ops, size in rows]


def plain_prune(cell: Cell) -> Cell | None:
    """Removes dead vertices; None where no path is left."""
    matrix, ops = cell
    size = len(ops)
    forward, backward = {0}, {size - 1}
    for vertex in range(1, size):
        if any(matrix[source][vertex] for source in forward):
            forward.add(vertex)
    for vertex in range(size - 2, -1, -1):
        if any(matrix[vertex][target] for target in backward):
            backward.add(vertex)
    live = sorted(forward & backward)
    if len(live) < 2:
        return None
    return [[matrix[source][target] for target in live] for source in live], [ops[vertex] for vertex in live]


def plain_valid(cell: Cell) -> Cell | None:
    """Returns the pruned cell, or None where it is not valid."""
    pruned = plain_prune(cell)
    return pruned if pruned is not None and sum(map(sum, pruned[0])) <= 9 else None


def plain_random(rng: random.Random) -> Cell:
    """Draws seven vertices whatever their validity."""
    matrix = [[rng.randrange(2) if source < target else 0 for target in range(7)] for source in range(7)]
    return matrix, [3, *(rng.randrange(3) for _ in range(5)), 4]


def plain_sample(count: int, rng: random.Random) -> list[Cell]:
    """Draws valid cells by rejection."""
    found: list[Cell] = []
    while len(found) < count:
        cell = plain_valid(plain_random(rng))
        if cell is not None:
            found.append(cell)
    return found


def plain_spread(cell: Cell, order: list[int]) -> Cell:
    """Lays a cell into seven vertices, the output last."""
    matrix, ops = cell
    size = len(ops)
    places = [0, *sorted(order[: size - 2]), 6]
    spread, spread_ops = [[0] * 7 for _ in range(7)], [3, 0, 0, 0, 0, 0, 4]
    for source in range(size):
        spread_ops[places[source]] = ops[source]
        for target in range(source + 1, size):
            spread[places[source]][places[target]] = matrix[source][target]
    return spread, spread_ops


def plain_mutate(cell: Cell, rate: float, rng: random.Random) -> Cell:
    """Redraws edges and operations until the child is valid."""
    while True:
        matrix, ops = plain_spread(cell, rng.sample(range(1, 6), 5))
        for source in range(7):
            for target in range(source + 1, 7):
                if rng.random() < rate:
                    matrix[source][target] = rng.randrange(2)
        for vertex in range(1, 6):
            if rng.random() < rate:
                ops[vertex] = rng.randrange(3)
        child = plain_valid((matrix, ops))
        if child is not None:
            return child


def plain_crossover(first: Cell, second: Cell, rng: random.Random) -> Cell:
    """Takes edges and operations from either parent until the child is valid."""
    while True:
        order = rng.sample(range(1, 6), 5)
        matrix, ops = plain_spread(first, order)
        other_matrix, other_ops = plain_spread(second, order)
        for source in range(7):
            for target in range(source + 1, 7):
                if rng.randrange(2):
                    matrix[source][target] = other_matrix[source][target]
        ops = [rng.choice(pair) for pair in zip(ops, other_ops, strict=True)]
        child = plain_valid((matrix, ops))
        if child is not None:
            return child


def plain_hash(cell: Cell) -> str:
    """Computes the module hash vertex by vertex."""
    matrix, ops = cell
    vertices = range(len(ops))
    labels = [(0, 1, 2, -1, -2)[op] for op in ops]
    degrees = [(sum(matrix[v]), sum(matrix[w][v] for w in vertices)) for v in vertices]
    hashes = [plain_md5(str((*degrees[v], labels[v]))) for v in vertices]
    for _ in vertices:
        before = [sorted(hashes[w] for w in vertices if matrix[w][v]) for v in vertices]
        after = [sorted(hashes[w] for w in vertices if matrix[v][w]) for v in vertices]
        hashes = [plain_md5("".join(before[v]) + "|" + "".join(after[v]) + "|" + hashes[v]) for v in vertices]
    return plain_md5(str(sorted(hashes)))


def plain_md5(text: str) -> str:
    """Returns the md5 in hexadecimal digits."""
    return md5(text.encode()).hexdigest()


def plain_decode(bits: int, size: int, ops: list[int]) -> Cell:
    """Decodes one row of the compact table."""
    matrix = [[0] * size for _ in range(size)]
    for target in range(size):
        for source in range(target):
            matrix[source][target] = bits >> (source + target * (target - 1) // 2) & 1
    return matrix, [3, *ops[: size - 2], 4]


def plain_format(cell: Cell) -> str:
    """Writes the string form of one cell."""
    names = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3", "input", "output")
    digits = "".join(str(edge) for row in cell[0] for edge in row)
    return f"{digits}:{','.join(names[op] for op in cell[1])}"


def plain_parse(text: str) -> Cell:
    """Reads the string form of one cell, without checks."""
    codes = {"conv3x3-bn-relu": 0, "conv1x1-bn-relu": 1, "maxpool3x3": 2, "input": 3, "output": 4}
    digits, _, names = text.partition(":")
    ops = [codes[name] for name in names.split(",")]
    size = len(ops)
    return [[int(digit) for digit in digits[start : start + size]] for start in range(0, size * size, size)], ops


if __name__ == "__main__":
    main()
