"""Receives the targets of one client, verified, and passes them to robots. It holds nothing."""
