"""How Flower runs, on one machine and in a container: it changes nothing, and asks for a password everywhere.

Its health is open, and says nothing else. The address comes by command line, the password as
FLOWER_BASIC_AUTH.
"""

from flower.views.monitor import Metrics
from tornado.web import authenticated

read_only = True
# Flower leaves this one open: it tells of hosts, workers and tasks as its pages do.
Metrics.get = authenticated(Metrics.get)
