"""How EmProx arranges architectures: its embedding in the plane, and whether it can be decoded."""

from __future__ import annotations

import functools
import time
from typing import Annotated, cast

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from sklearn.manifold import TSNE

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import ConfigError
from foretrain.evaluation.predictors.figures import coloured_planes
from foretrain.evaluation.predictors.judging import flat_metrics
from foretrain.evaluation.report import markdown_table, print_table
from foretrain.metrics.rank import spearman
from foretrain.predictors.autoencoder import reconstruction_accuracy
from foretrain.predictors.base import FloatArray, PredictorFactory
from foretrain.predictors.emprox import EmProx
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext, Study


class EmbeddingStudy(Study):
    """Fits EmProx as published and shaped by accuracy, and shows where they put networks they never saw.

    Args:
        benchmark: The benchmark; its target colours the networks.
        plain: EmProx as published.
        shaped: EmProx with an accuracy term.
        n_train: Networks to learn from.
        n_shown: Other networks, to show and to decode.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        plain: PredictorFactory,
        shaped: PredictorFactory,
        n_train: Annotated[int, Field(ge=2)] = 121,
        n_shown: Annotated[int, Field(ge=5)] = 500,
    ) -> None:
        for key, make in (("plain", plain), ("shaped", shaped)):
            kind = make.func if isinstance(make, functools.partial) else make
            if kind is not EmProx:
                raise ConfigError(key, "has no embedding to show", str(kind), "EmProx")
        self.benchmark = benchmark
        self.makes = {"plain": plain, "shaped": shaped}
        self.n_train = n_train
        self.n_shown = n_shown

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        started = time.perf_counter()
        task, folder = self.benchmark, context.folder
        split = task.benchmark.split(self.n_train, self.n_shown, context.seed, among=task.known)
        train, shown = (task.benchmark.architectures[torch.from_numpy(rows)] for rows in split)
        truth = task.accuracy[split.test]
        rows, planes = [], {}
        for name, make in self.makes.items():
            predictor = cast("EmProx", make(space=task.space, seed=derive_seed(context.seed, "emprox")))
            predictor.fit(train, task.accuracy[split.train])
            network = predictor.learned.network
            tokens, whole = reconstruction_accuracy(network, predictor.tokens(shown))
            foreseen = predictor.predict(shown).score
            rows.append({"embedding": name, "spearman": spearman(truth, foreseen), "tokens": tokens, "cells": whole})
            planes[name] = in_the_plane(predictor.embed(shown).numpy(), context.seed)
        table = pd.DataFrame(rows)
        folder.write_metrics(flat_metrics(table.rename(columns={"embedding": "predictor"})))
        parts = [
            pd.DataFrame({"embedding": name, "row": split.test, "truth": truth, "x": plane[:, 0], "y": plane[:, 1]})
            for name, plane in planes.items()
        ]
        folder.write_predictions(pd.concat(parts, ignore_index=True))
        folder.write_provenance(context.seed, {f"{task.name}/benchmark.json": task.benchmark.sha256})
        about = f"{self.n_shown} networks of {task.name} that the encoder, fitted on {self.n_train} others, never saw."
        coloured_planes(planes, truth, folder.figures / "embedding.png", about)
        explained = (
            "Spearman of the forecasts by neighbours; shares of tokens, and of whole cells, that come back when the "
            "embedding is decoded freely."
        )
        sections = ["# EmProx's embedding", about, markdown_table(table), explained, "![](figures/embedding.png)"]
        folder.write_report("\n\n".join(sections) + "\n")
        print_table(table, "EmProx's embedding")
        return {"run": time.perf_counter() - started}


def in_the_plane(embeddings: FloatArray, seed: int) -> FloatArray:
    """Returns ``float64[n, 2]``, where t-SNE puts embeddings ``[n, d]`` (van der Maaten and Hinton 2008)."""
    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    plane = TSNE(2, perplexity=perplexity, init="pca", random_state=derive_seed(seed, "t-SNE") % 2**32)
    return np.asarray(plane.fit_transform(embeddings), dtype=np.float64)
