"""Runs the command `osteo`: it submits X-rays and whole folders, watches them, and fetches results."""
