"""Studies of learning curves: how forecasts compare, and the source thesis's experiments with its gradient fit.

Source: S. Mintal, master's thesis, section 3.2.1.
"""

from foretrain.evaluation.curves.budget import CurveBudget
from foretrain.evaluation.curves.ensembles import CurveEnsembles
from foretrain.evaluation.curves.initialisation import CurveInitialisation

__all__ = ["CurveBudget", "CurveEnsembles", "CurveInitialisation"]
