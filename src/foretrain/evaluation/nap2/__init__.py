"""The study of NAP2: foresee the final accuracy of networks from weights and gradients, and train only the promising.

Source: "NAP2: Neural Networks Hyperparameter Optimization Using Weights and Gradients Analysis" (anonymous authors,
under review).
"""

from foretrain.evaluation.nap2.study import Nap2Study

__all__ = ["Nap2Study"]
