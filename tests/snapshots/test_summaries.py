"""Summaries of snapshots against plain loops."""

from __future__ import annotations

import numpy as np

from foretrain.snapshots.statistics import ROWS, STATISTICS
from foretrain.snapshots.summaries import LEVELS, OVER_LAYERS, summarize, summary_names


def random_maps(rows: np.ndarray, snapshots: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    maps = np.zeros((*rows.shape[:1], snapshots, 2, rows.shape[1], ROWS, len(STATISTICS)), dtype=np.float16)
    for network, counts in enumerate(rows):
        for layer, count in enumerate(counts):
            maps[network, :, :, layer, :count] = draw.normal(size=(snapshots, 2, count, len(STATISTICS)))
    return maps


def by_hand(values: np.ndarray, counts: list[int], level: str, over: str) -> float:
    """One number of one network, snapshot, kind and statistic, from ``values[layers, rows]``."""
    layers = []
    for layer, count in enumerate(counts):
        if count == 0:
            continue
        single = values[layer, 1:count].astype(float)
        number = {"layer": float(values[layer, 0]), "rows_mean": single.mean() if count > 1 else 0.0}
        number["rows_std"] = single.std() if count > 1 else 0.0
        layers.append(number[level])
    ends = {"first": layers[0], "last": layers[-1]}
    return ends[over] if over in ends else float(getattr(np, over)(layers))


def test_summaries_are_those_of_plain_loops() -> None:
    rows = np.array([[4, 100, 1], [7, 0, 0], [2, 3, 0]])
    maps = random_maps(rows, snapshots=2)
    found, names = summarize(maps, rows), summary_names()
    assert found.shape == (3, 2, len(names)) == (3, 2, 2 * len(OVER_LAYERS) * len(LEVELS) * len(STATISTICS))
    for column in range(0, len(names), 7):
        kind, level, statistic, over = names[column].split("/")
        for network in range(3):
            chosen = maps[network, 1, ["weights", "gradients"].index(kind), :, :, STATISTICS.index(statistic)]
            expected = by_hand(chosen, rows[network].tolist(), level, over)
            np.testing.assert_allclose(found[network, 1, column], expected, atol=1e-6)


def test_padding_plays_no_role() -> None:
    rows = np.array([[4, 9]])
    maps = random_maps(rows, snapshots=1)
    padded = np.concatenate([maps, np.zeros_like(maps)], axis=3)
    assert np.array_equal(summarize(maps, rows), summarize(padded, np.array([[4, 9, 0, 0]])))


def test_no_networks_give_no_rows() -> None:
    assert summarize(np.zeros((0, 3, 2, 1, ROWS, 12), np.float16), np.zeros((0, 1), np.int64)).shape[:2] == (0, 3)
