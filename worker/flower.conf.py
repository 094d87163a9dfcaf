"""Configures Flower: it changes nothing, and asks for a password on every page except its health check.

The address comes by command line, the password as FLOWER_BASIC_AUTH.
"""

from flower.views import BaseHandler
from flower.views.monitor import Metrics
from tornado.web import authenticated

read_only = True
# Flower leaves its metrics open, which name hosts, workers and tasks as its pages do.
Metrics.get = authenticated(Metrics.get)
# Flower asks the workers for their queues: a queue whose workers have all died would be missing. The names
# are those of jobs/redis/queue.py, which the command `celery` does not find in a container.
_QUEUES = ["infer.stat", "infer.routine", "infer.archive", "deliver"]
BaseHandler.get_active_queue_names = lambda _: _QUEUES
