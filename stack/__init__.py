"""The embedded stack of one machine: starts the service and its stores by command line, and stops them."""
