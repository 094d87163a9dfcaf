"""Starts the service and its stores on one machine by command line, and stops them."""
