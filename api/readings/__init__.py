"""Readings over HTTP: what clients ask for, what readers do, and how a report is signed."""
