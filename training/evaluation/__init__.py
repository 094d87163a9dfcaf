"""Measures what a network is worth: scores, thresholds, figures with intervals, report and card."""
