"""``import foretrain as ft`` and its four functions."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing

import numpy as np
import pytest
import torch

import foretrain as ft
from foretrain.errors import ConfigError

FUNCTIONS = sorted(set(ft.__all__) - {"__version__"})


def test_import_touches_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import foretrain\n"
        "assert set(foretrain.__all__) <= set(dir(foretrain))\n"
        "mine = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(mine & {'torch', 'numpy', 'pandas', 'scipy', 'pyarrow', 'lightning', 'wandb'} or 'light')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "light\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_typed_and_say_what_they_take_and_give(name):
    function = getattr(ft, name)
    assert function is getattr(ft, name)
    assert function.__name__ == name
    assert "return" in typing.get_type_hints(function)
    text = inspect.getdoc(function)
    assert "Raises:" in text
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter}:" in text or len(inspect.signature(function).parameters) == 1, parameter


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'scroe'"):
        ft.scroe  # noqa: B018


def test_score_ranks_an_untrained_network():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(5))
    images = torch.randn(6, 3, 8, 8)
    network(images)
    scores = ft.score(network, (images, torch.randint(5, (6,))), proxies=["params", "snip"])
    parameters = sum(weight.numel() for weight in network.parameters())
    assert scores["params"].value == pytest.approx(parameters / 1e6)


def test_extrapolate_gives_an_interval_around_each_forecast():
    epochs = np.arange(1, 21)
    forecast = ft.extrapolate(90 - np.array([[60.0], [40.0]]) * epochs**-0.7, horizon=100)
    assert ((forecast.lower <= forecast.mean) & (forecast.mean <= forecast.upper)).all()


def test_compare_puts_the_cost_beside_the_predictors(digits_like):
    from foretrain.predictors.linear import BayesianLinear

    table = ft.compare({"linear": BayesianLinear}, digits_like, n_train=8, n_test=6, trials=2)
    assert set(table["predictor"]) == {"linear", "parameters"}
    assert table["spearman"].is_monotonic_decreasing
    again = ft.compare({"linear": BayesianLinear}, digits_like, n_train=8, n_test=6, trials=2)
    assert table.equals(again)


def test_compare_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="predictors"):
        ft.compare({}, "digits201")


@pytest.fixture
def digits_like(tmp_path):
    """A converted benchmark of 20 cells of NAS-Bench-201."""
    from foretrain.benchmarks.contents import Contents, Description, Series
    from foretrain.benchmarks.format import write_benchmark
    from foretrain.spaces.nasbench201 import NASBench201

    space, draw = NASBench201(), np.random.default_rng(0)
    series = {
        Series("final", "accuracy", "digits", "valid"): draw.uniform(50, 90, (20, 1)),
        Series("cost", "parameters"): draw.uniform(1, 9, (20, 1)),
    }
    cells = space.format(space.enumerate()[torch.arange(0, 15_000, 750)])
    description = Description("tiny", "twenty cells", "foretrain.spaces.nasbench201.NASBench201", "the tests", "none")
    write_benchmark(Contents(description, cells, series), tmp_path / "tiny")
    return tmp_path / "tiny"
