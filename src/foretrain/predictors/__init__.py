"""What can be known from other networks: predictors that learn from measured accuracies."""
