"""Tries to lose a job: kills, freezes, wipes and fills what the service stands on, and counts."""
