"""Know how well a neural network will do before, while and without training it.

Four functions cover the common uses; each is imported, with what it needs, when it is first used.

- :func:`score`: scores of an untrained network, from one batch or none.
- :func:`extrapolate`: the final values of partial learning curves, with intervals.
- :func:`compare`: predictors that learn from other networks, judged on equal splits of a benchmark.
- :func:`open_benchmark`: measured accuracies, learning curves, scores and costs of many networks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretrain.benchmarks.table import open_benchmark
    from foretrain.curves.forecasting import extrapolate
    from foretrain.evaluation.predictors.compare import compare
    from foretrain.proxies.scoring import score

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "extrapolate", "open_benchmark", "score"]

_HOME_OF = {
    "compare": "foretrain.evaluation.predictors.compare",
    "extrapolate": "foretrain.curves.forecasting",
    "open_benchmark": "foretrain.benchmarks.table",
    "score": "foretrain.proxies.scoring",
}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = found  # the next use does not come here any more
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
