"""Readings: the people who read, and what they sign about a job's radiograph."""
