"""Searches: what samplers draw, what failures do, and that a resumed search is the undisturbed one."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from foretrain.errors import CheckpointError, ConfigError, DataError, ForetrainWarning
from foretrain.forecast import Forecast
from foretrain.predictors.auto import Auto
from foretrain.predictors.base import Predictor
from foretrain.predictors.gcn import GCNRanker
from foretrain.predictors.nao import NAO
from foretrain.predictors.training import FitSettings
from foretrain.predictors.weisfeiler_lehman import WeisfeilerLehmanLinear
from foretrain.search.ascent import MaximumLikelihood, binary_graphs, climb
from foretrain.search.baselines import LocalSearch, RandomSearch, RegularizedEvolution
from foretrain.search.guided import PredictorSearch
from foretrain.search.history import History, Outcome
from foretrain.search.improvement import EmbeddingAscent
from foretrain.search.loop import SampleCount, run_search
from foretrain.search.objectives import FunctionObjective, TableObjective
from foretrain.search.samplers import Evolutionary, Uniform, Whole
from foretrain.search.strategy import Proposal, Strategy, StrategyFactory
from foretrain.spaces.finite import FiniteSpace
from foretrain.spaces.modules import Members
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench201 import NASBench201
from foretrain.spaces.nasbench201.cells import Cells201

pytestmark = pytest.mark.filterwarnings("ignore:the decoder gives back:foretrain.errors.ForetrainWarning")

GCN = functools.partial(GCNRanker, widths=(16, 16), epochs=30, update_epochs=5, learning_rate=0.1)
GUIDED = functools.partial(PredictorSearch, predictor=GCN)
STRATEGIES = {
    "random": RandomSearch,
    "evolution": functools.partial(RegularizedEvolution, population=8, tournament=3),
    "local": functools.partial(LocalSearch, neighbours=6),
    "whole": functools.partial(GUIDED, sampler=Whole()),
    "uniform": functools.partial(GUIDED, sampler=Uniform(30)),
    "evolutionary": functools.partial(GUIDED, sampler=Evolutionary(30, parents=4)),
    "likelihood": functools.partial(GUIDED, sampler=MaximumLikelihood(20, steps=6)),
    "warm": functools.partial(GUIDED, sampler=Whole(), warm_start=True),
    "linear": functools.partial(PredictorSearch, predictor=WeisfeilerLehmanLinear, sampler=Whole(), growth=0.2),
    "exploring": functools.partial(PredictorSearch, predictor=WeisfeilerLehmanLinear, sampler=Whole(), explore=0.5),
    "nao": functools.partial(
        PredictorSearch,
        predictor=functools.partial(NAO, width=8, hidden=4, settings=FitSettings(epochs=3)),
        sampler=EmbeddingAscent(8, parents=4),
    ),
}


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _quality(archs: Cells201) -> np.ndarray:
    weights = torch.tensor([1.0, 2, 3, 4, 5, 6])
    return 40 + ((archs.ops == 3) * weights).sum(1).numpy() + 0.3 * (archs.ops == 2).sum(1).numpy()


@pytest.fixture(scope="module")
def objective() -> TableObjective:
    """Four hundred cells, most of them different networks."""
    base = NASBench201()
    space = FiniteSpace(base, base.sample(400, _generator()))
    return TableObjective(space, _quality(space.archs))


def test_a_table_has_an_accuracy_for_each_network(objective: TableObjective):
    with pytest.raises(DataError, match="3 values for 254 networks"):
        TableObjective(objective.space, np.zeros(3))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_search_evaluates_each_network_once_and_spends_its_budget(name: str, objective: TableObjective):
    history = run_search(STRATEGIES[name](objective.space, 0), objective, budget=26, seed=1)
    assert len(history) == 26
    assert len(history.codes.unique()) == 26
    again = run_search(STRATEGIES[name](objective.space, 0), objective, budget=26, seed=1)
    assert torch.equal(history.codes, again.codes)


class _Interrupted(TableObjective):
    """Ends the process, as it were, in the middle of a search."""

    calls = 0

    def evaluate(self, archs) -> Outcome:
        self.calls += 1
        if self.calls == 4:
            raise KeyboardInterrupt
        return super().evaluate(archs)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_resumed_search_is_the_undisturbed_one(name: str, objective: TableObjective, tmp_path: Path):
    targets = np.array([45.0, 50.0])
    counts = [SampleCount(objective.accuracy, targets) for _ in range(3)]
    whole = run_search(STRATEGIES[name](objective.space, 0), objective, 30, 1, None, counts[0])
    broken = _Interrupted(objective.space, objective.accuracy)
    with pytest.raises(KeyboardInterrupt):
        run_search(STRATEGIES[name](objective.space, 0), broken, 30, 1, tmp_path / "state.pt", counts[1])
    resumed = run_search(STRATEGIES[name](objective.space, 0), objective, 30, 1, tmp_path / "state.pt", counts[2])
    assert torch.equal(whole.codes, resumed.codes)
    np.testing.assert_array_equal(whole.round, resumed.round)
    assert counts[0].total == counts[2].total
    np.testing.assert_array_equal(counts[0].reached, counts[2].reached)


def test_a_state_belongs_to_its_search(objective: TableObjective, tmp_path: Path):
    run_search(RandomSearch(objective.space), objective, 8, 1, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="another file"):
        run_search(RandomSearch(objective.space), objective, 8, 2, tmp_path / "state.pt")
    (tmp_path / "state.pt").write_bytes(b"no state")
    with pytest.raises(CheckpointError, match="does not go on from this state"):
        run_search(RandomSearch(objective.space), objective, 8, 1, tmp_path / "state.pt")


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 0},
        {"archs": [torch.tensor([400] * 8)]},
        {"archs": []},
        {"accuracy": torch.zeros(3)},
        {"reason": None},
        {"strategy": {"current": "best", "tried": 0}},
        {"strategy": {"current": 999, "tried": 0}},
        {"counted": (1, torch.zeros(9))},
    ],
    ids=str,
)
def test_a_state_that_somebody_changed_is_refused(objective: TableObjective, tmp_path: Path, changes: dict):
    def search(budget: int) -> None:
        count = SampleCount(objective.accuracy, np.array([50.0]))
        run_search(LocalSearch(objective.space), objective, budget, 1, tmp_path / "state.pt", count)

    search(8)
    content = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save(content | changes, tmp_path / "state.pt")
    with pytest.raises(DataError):
        search(12)


def test_a_function_that_raises_fails_that_network_only():
    calls = []

    def train(arch: Cells201) -> float:
        calls.append(arch)
        if len(calls) == 5:
            raise RuntimeError("out of memory")
        if len(calls) == 7:
            return float("nan")
        return float(_quality(arch)[0])

    space = NASBench201()
    strategy = PredictorSearch(space, 0, predictor=GCN, sampler=Evolutionary(20))
    history = run_search(strategy, FunctionObjective(space, train), budget=16, seed=0)
    assert len(history) == len(calls) == 16
    assert history.reason[4] == "RuntimeError: out of memory"
    assert history.reason[6] == "its value is nan"
    assert [place for place, reason in enumerate(history.reason) if reason] == [4, 6]
    assert not {4, 6} & set(history.best(16).tolist())


def test_what_the_predictor_ranks_highest_is_evaluated(objective: TableObjective):
    class Oracle(Predictor):
        def fit(self, *_: object, **__: object):
            return self

        def predict(self, archs: Members, scores: object = None) -> Forecast:
            return Forecast(objective.accuracy[archs.index.numpy()])

    history = run_search(PredictorSearch(objective.space, 0, predictor=Oracle, sampler=Whole()), objective, 12, 0)
    rest = np.delete(objective.accuracy, history.codes[:4].numpy())
    np.testing.assert_allclose(history.accuracy[4:], np.sort(rest)[::-1][:8])
    with pytest.raises(ConfigError, match=r"search\.acquisition: forecasts of Oracle have no interval .*auto"):
        PredictorSearch(objective.space, 0, predictor=Oracle, sampler=Whole(), acquisition="upper")
    with pytest.raises(ConfigError, match=r"search\.initial: forecasts of Auto have an interval from 10 .*>= 10"):
        PredictorSearch(objective.space, 0, predictor=Auto, sampler=Whole(), acquisition="thompson", initial=9)
    with pytest.raises(ConfigError, match="cannot learn on"):
        PredictorSearch(objective.space, 0, predictor=Oracle, sampler=Whole(), warm_start=True)


def _meaningless(seed: int) -> TableObjective:
    """Networks in random order, the first with the highest accuracy: it says nothing of the network."""
    base = NASBench201()
    distinct = FiniteSpace(base, base.sample(400, _generator(seed))).archs
    space = FiniteSpace(base, distinct[torch.randperm(len(distinct), generator=_generator(seed + 1))])
    return TableObjective(space, np.linspace(90, 10, len(space)))


def _mean_place(make: StrategyFactory, seeds: range, budget: int = 24) -> float:
    """Mean place in the table of what is evaluated, 0 for the first and 1 for the last; 0.5 is no better than luck."""
    shares = []
    for seed in seeds:
        objective = _meaningless(seed)
        history = run_search(make(objective.space, seed), objective, budget, seed)
        shares.append(float(history.codes.double().mean()) / (len(objective.space) - 1))
    return float(np.mean(shares))


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_search_profits_from_the_order_of_the_table(name: str):
    seeds = 60 if name in {"random", "evolution", "local", "linear"} else 3
    assert _mean_place(STRATEGIES[name], range(seeds)) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 24 * seeds))


@pytest.mark.parametrize("sampler", [Whole(), Uniform(60), Evolutionary(60, parents=4)])
def test_equal_forecasts_are_chosen_from_by_lot(sampler):
    class Undecided(Predictor):
        def fit(self, *_: object, **__: object):
            return self

        def predict(self, archs: Members, scores: object = None) -> Forecast:
            return Forecast(np.zeros(len(archs)))

    make = functools.partial(PredictorSearch, predictor=Undecided, sampler=sampler)
    assert _mean_place(make, range(6)) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 24 * 6))


@pytest.mark.parametrize("predictor", [GCN, WeisfeilerLehmanLinear], ids=["gcn", "linear"])
def test_forecasts_do_not_depend_on_where_a_network_stands(predictor):
    base = NASBench101()
    archs = base.sample(300, _generator(22))
    order = torch.randperm(300, generator=_generator(23))
    straight, shuffled = FiniteSpace(base, archs), FiniteSpace(base, archs[order])
    known = straight.archs[torch.arange(0, len(straight), 9)]
    accuracy = base.encode(known, "graph").adjacency.sum((1, 2)).double().numpy()
    found = []
    for space in (straight, shuffled):
        learned = predictor(space=space, seed=0).fit(Members(space.find(known)), accuracy)
        scores = learned.predict(space.enumerate()).score
        found.append(scores[space.find(straight.archs).numpy()])
    np.testing.assert_allclose(*found, atol=1e-5)


def test_an_ascent_needs_an_embedding(objective: TableObjective):
    strategy = PredictorSearch(objective.space, 0, predictor=GCN, sampler=EmbeddingAscent(5))
    with pytest.raises(ConfigError, match="NAO"):
        run_search(strategy, objective, 12, 0)


@pytest.mark.parametrize("sampler", [Uniform(200), Evolutionary(200, parents=5), MaximumLikelihood(30, steps=8)])
def test_samples_are_valid_unseen_and_distinct(sampler):
    space = NASBench101()
    archs = space.sample(12, _generator(5))
    accuracy = archs.ops.eq(0).sum(1).double().numpy()
    history = History.empty(space).extended(archs, Outcome(accuracy, ("",) * 12))
    ranker = GCN(space=space).fit(archs, accuracy)
    drawn = sampler.sample(space, history, ranker, _generator(6))
    codes = space.codes(drawn)
    assert 0 < len(drawn) <= sampler.size
    assert space.valid(drawn).all()
    assert len(codes.unique()) == len(drawn)
    assert not torch.isin(codes, history.codes).any()
    if not isinstance(sampler, MaximumLikelihood):
        assert len(drawn) == sampler.size


@pytest.fixture(scope="module")
def hill() -> GCNRanker:
    """A ranker of NAS-Bench-101 that likes edges and convolutions."""
    space = NASBench101()
    archs = space.sample(60, _generator(7))
    accuracy = archs.adjacency.sum((1, 2)).double().numpy() + 3 * archs.ops.eq(0).sum(1).double().numpy()
    return GCNRanker(space, widths=(16, 16), epochs=150, learning_rate=0.1).fit(archs, accuracy)


def test_the_ascent_rises_and_what_it_finds_survives_projection(hill: GCNRanker):
    space = hill.space
    summits = climb(hill.learned, space, space.relaxation(), 64, 15, 0.3, _generator(8))
    assert summits.relaxed[-1].mean() > summits.relaxed[0].mean() + summits.relaxed[0].std()
    again = hill.predict(summits.archs).score
    np.testing.assert_allclose(summits.scores.numpy(), again, atol=1e-5)
    assert len(summits.archs) > 50
    others = hill.predict(space.sample(500, _generator(9))).score
    assert again.mean() > others.mean() + others.std() / 2


def test_as_the_source_writes_it_most_ascents_end_where_no_cell_is(hill: GCNRanker):
    space = hill.space
    ends = climb(hill.learned, space, space.relaxation(), 64, 40, 0.3, _generator(8), keep="end")
    assert ends.relaxed[-1].mean() > ends.relaxed[0].mean() + ends.relaxed[0].std()
    assert len(ends.archs) < 32
    assert space.valid(ends.archs).all()
    np.testing.assert_allclose(ends.scores.numpy(), hill.predict(ends.archs).score, atol=1e-5)


def test_where_no_ascent_ends_in_a_member_the_search_draws_at_random(hill: GCNRanker):
    base = NASBench101()
    space = FiniteSpace(base, base.sample(40, _generator(41)))
    history = History.empty(space).extended(Members(torch.arange(6)), Outcome(np.arange(6.0), ("",) * 6))
    sampler = MaximumLikelihood(10, steps=40, keep="end")
    assert len(sampler.sample(space, history, hill, _generator(42))) == 0
    strategy = PredictorSearch(space, predictor=GCN, sampler=sampler)
    assert len(strategy.propose(history, _generator(43)).archs) == 4


def test_the_largest_shadows_are_the_edges_that_stay():
    relaxation = NASBench101().relaxation()
    edges = torch.rand(20, 7, 7, generator=_generator(31)) - 0.2
    labels = torch.zeros(20, *relaxation.vertices.shape)
    free, limited = (binary_graphs(relaxation, edges, labels, limited=limited)[0] > 0.5 for limited in (False, True))
    assert torch.equal(free, (edges > 0) & relaxation.free_edges)
    assert (limited <= free).all()
    assert torch.equal(limited.sum((1, 2)), free.sum((1, 2)).clamp(max=9))
    largest_gone = torch.where(free & ~limited, edges, -torch.inf).amax((1, 2))
    smallest_there = torch.where(limited, edges, torch.inf).amin((1, 2))
    assert (largest_gone < smallest_there).all()
    assert largest_gone.isfinite().any()


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("space", [NASBench101(), NASBench201()], ids=lambda s: s.name)
def test_straight_through_gradients_are_those_of_the_relaxed_function(space, limited: bool):
    relaxation = space.relaxation()
    archs = space.sample(30, _generator(10))
    ranker = GCN(space=space).fit(archs, np.arange(30.0))
    gcn = ranker.learned.double()
    size, labels = relaxation.vertices.shape
    edges = torch.randn(1, size, size, generator=_generator(11), dtype=torch.float64, requires_grad=True)
    shadows = torch.randn(1, size, labels, generator=_generator(12), dtype=torch.float64, requires_grad=True)
    adjacency, vertices = binary_graphs(relaxation, edges, shadows, limited)
    sizes = torch.tensor([float(size)], dtype=torch.float64)
    gcn(adjacency, vertices, sizes).sum().backward()
    step = 1e-6

    def relaxed(place: tuple[int, ...], of_edges: bool, change: float) -> float:
        moved = [adjacency.detach().clone(), vertices.detach().clone()]
        moved[0 if of_edges else 1][place] += change
        return float(gcn(*moved, sizes).detach())

    for x, y in relaxation.free_edges.nonzero().tolist()[:6]:
        slope = (relaxed((0, x, y), True, step) - relaxed((0, x, y), True, -step)) / (2 * step)
        assert float(edges.grad[0, x, y]) == pytest.approx(slope, abs=1e-6)
    for vertex in relaxation.free_vertices.nonzero()[:, 0].tolist()[:3]:
        for column in range(*relaxation.operations.indices(labels)):
            place = (0, vertex, column)
            slope = (relaxed(place, False, step) - relaxed(place, False, -step)) / (2 * step)
            assert float(shadows.grad[place]) == pytest.approx(slope, abs=1e-6)


def test_an_exhausted_space_ends_the_search():
    base = NASBench201()
    space = FiniteSpace(base, base.sample(12, _generator(13)))
    objective = TableObjective(space, _quality(space.archs))
    for make in (RandomSearch, STRATEGIES["whole"], STRATEGIES["evolutionary"]):
        history = run_search(make(space, 0), objective, budget=100, seed=0)
        assert sorted(history.codes.tolist()) == list(range(len(space)))


def test_samples_are_counted_without_what_was_evaluated():
    count = SampleCount(np.array([1.0, 2, 3, 4]), np.array([3.0, 1.0, 5.0]))
    count.add(Members(torch.tensor([0, 2, 3])), seen=torch.tensor([3]))
    assert count.total == 2
    assert count.reached.tolist() == [1, 2, 0]


def test_a_strategy_without_memory_refuses_one():
    class Idle(Strategy):
        def propose(self, history: History, generator: torch.Generator) -> Proposal:
            return Proposal(self.space.sample(1, generator))

    with pytest.raises(ValueError, match="remembers nothing"):
        Idle(NASBench201()).set_state({"current": 1})


class Misled(Predictor):
    """Ranks one way, draws the other."""

    def fit(self, archs, accuracies, scores=None, unlabeled=None):
        return self

    def predict(self, archs, scores=None):
        return Forecast(archs.index.numpy().astype(float))

    def draw(self, archs, generator):
        return -archs.index.numpy().astype(float)


@pytest.mark.parametrize(("share", "drawn"), [(0.0, 0), (0.1, 1), (0.5, 2), (1.0, 4)])
def test_the_share_that_explores_comes_from_draws(share: float, drawn: int, objective: TableObjective):
    strategy = PredictorSearch(objective.space, 0, predictor=Misled, sampler=Whole(), explore=share)
    history = run_search(strategy, objective, budget=8, seed=1)
    places = [code for code in range(len(objective.space)) if code not in history.codes[:4]]
    expected = places[::-1][: 4 - drawn] + places[:drawn]
    assert history.codes[4:].tolist() == expected


def test_a_predictor_that_draws_nothing_explores_nothing_and_says_so(objective: TableObjective):
    with pytest.warns(ForetrainWarning, match="explores nothing"):
        strategy = PredictorSearch(objective.space, 0, predictor=GCN, sampler=Whole(), explore=0.5)
    plain = PredictorSearch(objective.space, 0, predictor=GCN, sampler=Whole())
    codes = [run_search(each, objective, budget=12, seed=1).codes for each in (strategy, plain)]
    assert torch.equal(*codes)
