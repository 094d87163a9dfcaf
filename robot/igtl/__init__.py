"""Serves targets to clients of OpenIGTLink, and the status each second."""
