"""Configures Flower: it changes nothing, and asks for a password on every page except its health check.

The address comes by command line, the password as FLOWER_BASIC_AUTH.
"""

from flower.views.monitor import Metrics
from tornado.web import authenticated

read_only = True
# Flower leaves its metrics open, which name hosts, workers and tasks as its pages do.
Metrics.get = authenticated(Metrics.get)
