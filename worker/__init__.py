"""Runs the worker roles: inference analyses radiographs, delivery sends callbacks, the sweeper repairs."""
