"""Receives the targets of one client, verified, and sends them to robots. It stores nothing."""
