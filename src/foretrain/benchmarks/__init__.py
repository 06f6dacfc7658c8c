"""Where the truth comes from: measured accuracies, learning curves, scores and costs, and the importers of them."""
