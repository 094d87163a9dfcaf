"""Figures and their intervals, for `training.evaluate` and `training.external`."""
