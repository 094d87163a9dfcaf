"""How gunicorn serves the API, on one machine and in a container; the address comes by command line."""

import os
import re
import resource
import signal
import sys
from functools import partial
from typing import Any
from urllib.parse import quote

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from api.http.threads import CONNECTIONS, THREADS
from jobs.record.errors import TransientError
from jobs.redis.changes import Changes
from jobs.settings import Settings, SettingsError
from jobs.store.stores import Stores

STUDY = re.compile("^/dicom-web/studies/.*")
"""Which study a client sends is not for the log either."""
OWN_ID = re.compile(r"^/v1/jobs/(?!job_)[^/]+")


class AccessLog(Logger):
    """Gunicorn's log, with the path as it came: decoded, it could hold a line of somebody else's making.

    A client's own id of a job may say whose radiograph it is: it does not stand there.
    """

    def atoms(self, *arguments: Any) -> dict[str, Any]:
        """What a line of the access log is made of."""
        atoms = dict(super().atoms(*arguments))
        atoms["U"] = STUDY.sub("/dicom-web/studies/-", OWN_ID.sub("/v1/jobs/-", quote(atoms["U"])))
        return atoms


wsgi_app = "api.app:from_environment()"
workers = 2
worker_class = "api.server.worker.Worker"
# Most of them wait for a job to change, and some others are always free: api/http/threads.py.
threads = THREADS
worker_connections = CONNECTIONS
graceful_timeout = 15
# A connection of the client's and one to Redis each: more than the 1024 files that many systems begin with.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
# Longer than clients and proxies keep an idle connection (60 s in most): whoever closes first may cut off a
# request that is on its way, and only the client knows whether one is.
keepalive = 75
control_socket_disable = True
# A heartbeat file on a slow disk lets gunicorn kill workers that are well.
if os.access("/dev/shm", os.W_OK):  # noqa: S108 - gunicorn makes a file of its own there
    worker_tmp_dir = "/dev/shm"  # noqa: S108
# The fields of a raw submission stand in the query; this is gunicorn's most.
limit_request_line = 8190
logger_class = AccessLog
accesslog = "-"
# The path without its query: a raw submission has the client's reference in it.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(L)s s %({x-request-id}o)s'


def on_starting(_: Arbiter) -> None:
    """Refuse wrong settings, and stores that are another's, in words, before there is any worker."""
    try:
        Stores.connect(Settings.from_environment(os.environ)).check()
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except TransientError:
        pass  # Readiness says so, and compares them once they answer.


def post_worker_init(worker: Worker) -> None:
    """Let a worker that is told to stop wait for nobody who waits for a job."""
    changes = worker.wsgi.extensions["changes"]
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        handler = signal.getsignal(number)
        signal.signal(number, partial(_stop, changes, handler))
    signal.siginterrupt(signal.SIGTERM, False)


def _stop(changes: Changes, handler: Any, number: int, frame: Any) -> None:
    changes.stop()
    handler(number, frame)
