"""Loads the models of a roll-out, swaps them between batches, and has a shadow score copies of jobs."""
