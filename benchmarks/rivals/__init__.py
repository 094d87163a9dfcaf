"""Serves the same model by other means, each as its own documentation shows it."""
