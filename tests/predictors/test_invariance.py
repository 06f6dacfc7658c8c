"""What is one network has one forecast, however its vertices are numbered and however wide its arrays are."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tiny import FACTORIES, SPACES, networks
from torch.nn.functional import pad

from foretrain.predictors.gaussian_process import GaussianProcessRegressor
from foretrain.predictors.gcn.regressor import BidirectionalGCN
from foretrain.predictors.trees import RandomForest
from foretrain.spaces.encodings.graph import GraphBatch
from foretrain.spaces.nasbench101.cells import Cells101
from foretrain.spaces.path_features import path_features

SPACE = SPACES["nasbench101"]
READERS = {
    "path features": partial(GaussianProcessRegressor, encodings=["path_features"]),
    "graph features": partial(RandomForest, encodings=["graph_features"], trees=10),
    "path encoding": partial(RandomForest, encodings=["path"], trees=10),
    "gcn": FACTORIES["gcn"],
    "ranker": FACTORIES["ranker"],
    "neighbourhoods": FACTORIES["neighbourhoods"],
}


def renumbered(cells: Cells101) -> Cells101:
    """The same cells, each numbered in another topological order where it has one."""
    adjacency, ops = cells.adjacency.clone(), cells.ops.clone()
    for cell, size in enumerate(cells.num_vertices.tolist()):
        for first in range(1, size - 2):
            if not adjacency[cell, first, first + 1]:
                order = torch.arange(7)
                order[first], order[first + 1] = first + 1, first
                adjacency[cell] = adjacency[cell][order][:, order]
                ops[cell] = ops[cell, order]
    return Cells101(adjacency, ops)


@pytest.mark.parametrize("name", READERS)
def test_renumbered_networks_have_the_same_forecast(name):
    archs, accuracies = networks(SPACE, 40)
    others = renumbered(archs)
    changed = (archs.adjacency != others.adjacency).flatten(1).any(1) | (archs.ops != others.ops).any(1)
    assert changed.sum() > 10
    assert SPACE.canonical(archs) == SPACE.canonical(others)
    predictor = READERS[name](SPACE, seed=0).fit(archs[:20], accuracies[:20])
    np.testing.assert_allclose(predictor.predict(others).score, predictor.predict(archs).score, rtol=1e-4, atol=1e-4)


def wider(graphs: GraphBatch) -> GraphBatch:
    """The same graphs with two vertices more that are only padding."""
    edges, vertices = pad(graphs.adjacency, (0, 2, 0, 2)), pad(graphs.vertices, (0, 0, 0, 2))
    return replace(graphs, adjacency=edges, vertices=vertices, mask=pad(graphs.mask, (0, 2)))


def test_padding_changes_nothing():
    graphs = SPACE.encode(networks(SPACE, 30)[0], "graph")
    torch.manual_seed(0)
    network = BidirectionalGCN(graphs.vertices.shape[2], 8, 3)
    narrow, wide = (network(batch.adjacency, batch.vertices, batch.mask) for batch in (graphs, wider(graphs)))
    torch.testing.assert_close(wide, narrow)
    features = partial(path_features, vocabulary=SPACE.vocabulary, longest=5)
    torch.testing.assert_close(features(wider(graphs)), features(graphs))
