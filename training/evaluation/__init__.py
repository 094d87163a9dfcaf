"""What a network is worth: scores, thresholds, figures with their intervals, report and card."""
