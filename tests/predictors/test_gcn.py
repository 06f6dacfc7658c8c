"""The GCN against an independent reference, its symmetries, its loss, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from scipy import stats

from foretrain.errors import DataError
from foretrain.predictors.gcn import GCNRanker
from foretrain.predictors.gcn.loss import pairwise_cross_entropy
from foretrain.predictors.gcn.module import RankedGraphs, RankerModule
from foretrain.predictors.gcn.neighbourhoods import Neighbourhoods
from foretrain.predictors.gcn.network import GCN, score_graphs
from foretrain.predictors.gcn.sparse import SparseGCN
from foretrain.runtime.quiet import quiet_lightning
from foretrain.spaces.encodings.graph import GraphBatch
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench201 import NASBench201

SPACES = [NASBench101(), NASBench201()]
FORMS = ["one_sided", "symmetric"]


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _graphs(space, n: int = 40) -> GraphBatch:
    return space.encode(space.sample(n, _generator()), "graph")


def _gcn(space, form: str = "one_sided") -> GCN:
    torch.manual_seed(0)
    return GCN(len(space.vocabulary.labels), (12, 8, 8), form).double()


def _double(graphs: GraphBatch) -> GraphBatch:
    return GraphBatch(graphs.adjacency.double(), graphs.vertices.double(), graphs.mask, graphs.arch_id)


def _by_loops(gcn: GCN, adjacency: np.ndarray, labels: np.ndarray, form: str) -> float:
    """Equations 3 and 4 of the paper, vertex by vertex."""
    size = len(labels)
    connected = adjacency + np.eye(size)
    degree = connected.sum(1)
    features = labels
    for weight in gcn.weights:
        mapped = features @ weight.detach().numpy()
        rows = []
        for i in range(size):
            total = np.zeros(mapped.shape[1])
            for j in range(size):
                scale = degree[i] ** -0.5 * (degree[j] ** -0.5 if form == "symmetric" else 1)
                total += scale * connected[i, j] * mapped[j]
            rows.append(np.maximum(total, 0))
        features = np.array(rows)
    return float(features.mean(0) @ gcn.output.weight[0].detach().numpy() + gcn.output.bias.item())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_all_paths_give_the_numbers_of_the_equations(space, form: str):
    graphs, gcn = _double(_graphs(space)), _gcn(space, form)
    expected = []
    for adjacency, vertices, mask in zip(graphs.adjacency, graphs.vertices, graphs.mask, strict=True):
        here = mask.numpy()
        expected.append(_by_loops(gcn, adjacency.numpy()[here][:, here], vertices.numpy()[here], form))
    dense = score_graphs(gcn, graphs)
    shared = Neighbourhoods.of(graphs, gcn).score(gcn)
    sparse = SparseGCN(gcn)(graphs.to_pyg())
    for scores in (dense, shared.detach(), sparse.detach()):
        np.testing.assert_allclose(scores.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_all_paths_give_the_same_gradients(space, form: str):
    graphs, gcn = _double(_graphs(space)), _gcn(space, form)
    outcomes = [
        gcn(graphs.adjacency, graphs.vertices, graphs.mask.sum(1)),
        Neighbourhoods.of(graphs, gcn).score(gcn),
        SparseGCN(gcn)(graphs.to_pyg()),
    ]
    gradients = [torch.autograd.grad(scores.square().sum(), list(gcn.parameters())) for scores in outcomes]
    for other in gradients[1:]:
        for first, second in zip(gradients[0], other, strict=True):
            torch.testing.assert_close(first, second)


@pytest.mark.parametrize("form", FORMS)
def test_renumbered_vertices_and_padding_change_nothing(form: str):
    space = SPACES[0]
    graphs, gcn = _double(_graphs(space)), _gcn(space, form)
    sizes = graphs.mask.sum(1)
    order = torch.randperm(graphs.mask.shape[1], generator=_generator(1))
    renumbered = gcn(graphs.adjacency[:, order][:, :, order], graphs.vertices[:, order], sizes)
    padded = gcn(
        torch.nn.functional.pad(graphs.adjacency, (0, 2, 0, 2)),
        torch.nn.functional.pad(graphs.vertices, (0, 0, 0, 2)),
        sizes,
    )
    plain = gcn(graphs.adjacency, graphs.vertices, sizes)
    torch.testing.assert_close(renumbered, plain, atol=1e-6, rtol=0)
    torch.testing.assert_close(padded, plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize("levels", [4, 10**6], ids=["ties", "distinct"])
def test_the_loss_is_the_mean_over_all_ordered_pairs(levels: int):
    scores = torch.randn(150, generator=_generator(), dtype=torch.float64, requires_grad=True)
    accuracies = torch.randint(levels, (150,), generator=_generator(1)).double()
    better = torch.sigmoid(scores[:, None] - scores)
    terms = -torch.where(accuracies[:, None] >= accuracies, better, 1 - better).log()
    expected = terms[~torch.eye(150, dtype=torch.bool)].mean()
    found = pairwise_cross_entropy(scores, accuracies)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, scores)[0] for loss in (found, expected)))
    with pytest.raises(ValueError, match="no pair"):
        pairwise_cross_entropy(scores[:1], accuracies[:1])


class _OneBatch:
    def __init__(self, batch: RankedGraphs) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def __iter__(self):
        yield self.batch


def test_the_bare_loop_does_what_a_trainer_does():
    space = SPACES[1]
    graphs = _graphs(space, 12)
    modules = []
    for _ in range(2):
        torch.manual_seed(3)
        modules.append(RankerModule(len(space.vocabulary.labels), [8], "one_sided", 0.1, 0.9, 0.0, 5))
    batch = RankedGraphs(Neighbourhoods.of(graphs, modules[0].gcn), torch.arange(12.0))
    modules[0].descend(batch)
    with quiet_lightning():
        Trainer(accelerator="cpu", max_epochs=5, barebones=True).fit(modules[1], _OneBatch(batch))
    for first, second in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=0, rtol=0)


def _convolutions(archs) -> np.ndarray:
    return 50 + 5.0 * (archs.ops == 3).sum(1).numpy() + (archs.ops == 2).sum(1).numpy()


def test_a_warm_start_reaches_the_ranking_of_a_whole_training():
    space = SPACES[1]
    train, test = space.sample(80, _generator(2)), space.sample(200, _generator(3))
    truth = _convolutions(test)

    def quality(ranker: GCNRanker) -> float:
        score = ranker.predict(test).score
        pairs = np.sign(truth[:, None] - truth) * np.sign(score[:, None] - score)
        return float(pairs[truth[:, None] != truth].mean())

    options = {"widths": (32, 32), "epochs": 300, "update_epochs": 30, "learning_rate": 0.1}
    whole = GCNRanker(space, **options).fit(train, _convolutions(train))
    warm = GCNRanker(space, **options).fit(train[:41], _convolutions(train[:41]))
    warm.update(train, _convolutions(train))
    assert quality(whole) > 0.8
    assert quality(warm) > quality(whole) - 0.03


def test_the_state_carries_a_ranker_on():
    space = SPACES[1]
    train = space.sample(20, _generator(4))
    options = {"widths": (8,), "epochs": 20, "update_epochs": 5}
    first = GCNRanker(space, **options).fit(train[:12], _convolutions(train[:12]))
    second = GCNRanker(space, **options)
    second.set_state(first.state())
    for ranker in (first, second):
        ranker.update(train, _convolutions(train))
    np.testing.assert_array_equal(first.predict(train).score, second.predict(train).score)


def test_a_table_that_has_doubled_is_learned_from_random_weights():
    space = SPACES[1]
    train = space.sample(32, _generator(33))
    options = {"widths": (8,), "epochs": 20, "update_epochs": 5}
    grown = GCNRanker(space, **options)
    for count in (4, 6, 8, 12, 32):
        grown.update(train[:count], _convolutions(train[:count]))
        anew = GCNRanker(space, **options).fit(train[:count], _convolutions(train[:count]))
        same = np.array_equal(grown.predict(train).score, anew.predict(train).score)
        assert same == (count in (4, 8, 32))


def test_a_descent_that_kills_all_units_is_done_again_at_a_lower_rate():
    space = NASBench101()
    archs = space.sample(20, _generator(30))
    accuracies = archs.adjacency.sum((1, 2)).double().numpy()
    graphs = space.encode(archs, "graph")
    options = {"widths": (16, 16), "learning_rate": 20.0}
    module = RankerModule(graphs.vertices.shape[2], (16, 16), "one_sided", 20.0, 0.9, 0.0, 60)
    batch = RankedGraphs(Neighbourhoods.of(graphs, module.gcn), torch.from_numpy(accuracies))
    module.descend(batch)
    assert np.ptp(batch.graphs.score(module.gcn).detach().numpy()) == 0
    ranker = GCNRanker(space, epochs=60, update_epochs=60, **options).fit(archs, accuracies)
    assert stats.spearmanr(ranker.predict(archs).score, accuracies).statistic > 0.5
    hopeless = GCNRanker(space, epochs=60, widths=(16, 16), learning_rate=1e6)
    with pytest.raises(DataError, match="no longer finite"):
        hopeless.fit(archs, accuracies)
