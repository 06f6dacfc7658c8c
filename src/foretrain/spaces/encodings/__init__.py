"""Architectures as numbers a predictor can read; everything is computed for the whole batch at once."""
