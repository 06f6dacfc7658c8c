"""Know how well a neural network will do before, while and without training it."""

__version__ = "0.1.0"
