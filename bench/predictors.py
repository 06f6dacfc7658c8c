"""Prints what fitting and querying each predictor costs, beside the time of the linear model's fit and query.

One thread, NAS-Bench-201, made-up accuracies: ``python bench/predictors.py [--networks 121] [--queries 1000]``
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import torch

from foretrain.predictors.auto import CANDIDATES, Auto
from foretrain.predictors.emprox import EmProx
from foretrain.predictors.gcn import GCNRegressor
from foretrain.predictors.linear import BayesianLinear
from foretrain.predictors.mlp import MLPEnsemble
from foretrain.predictors.nao import NAO, SemiNAS
from foretrain.runtime.seeding import make_generator
from foretrain.spaces.nasbench201.space import NASBench201
from timing import seconds

CHEAPEST = partial(BayesianLinear, encodings=["path_features", "graph_features"], transform="log_error")
PREDICTORS = {
    **CANDIDATES,
    "auto": Auto,
    "emprox": EmProx,
    "nao": NAO,
    "seminas": SemiNAS,
    "mlp": MLPEnsemble,
    "bananas": partial(MLPEnsemble, encodings=["path"], members=3),
    "gcn": GCNRegressor,
}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=121)
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    space, generator = NASBench201(), make_generator(0, "bench")
    archs, others = space.sample(options.networks, generator), space.sample(options.queries, generator)
    accuracies = 60 + 30 * np.random.default_rng(0).random(options.networks)
    cheapest = CHEAPEST(space=space).fit(archs, accuracies)
    fit = seconds(lambda: CHEAPEST(space=space).fit(archs, accuracies))
    query = seconds(lambda: cheapest.predict(others))
    print(f"{options.networks} networks, {options.queries} queries, one thread; in units of the linear model")
    print(f"{'':33}{'fit s':>10}{'ratio':>9}{'query s':>10}{'ratio':>9}")
    for name, make in PREDICTORS.items():
        predictor = make(space=space)
        fitted = seconds(lambda predictor=predictor: predictor.fit(archs, accuracies), runs=1)
        asked = seconds(lambda predictor=predictor: predictor.predict(others))
        print(f"{name:33}{fitted:10.3f}{fitted / fit:9.1f}{asked:10.4f}{asked / query:9.2f}")


if __name__ == "__main__":
    main()
