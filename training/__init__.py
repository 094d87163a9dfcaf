"""Makes a bundle out of labelled X-rays; run as `python -m training.<step>`."""
