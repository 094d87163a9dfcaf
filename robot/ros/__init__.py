"""Publishes targets to ROS 2, each for the rest of its validity, and the status as diagnostics."""
