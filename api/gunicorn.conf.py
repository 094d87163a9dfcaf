"""Configures gunicorn for the API. The address to listen on is a command-line argument."""

import os
import re
import resource
import shutil
import signal
import sys
import tempfile
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
OWN_ID = re.compile(r"^/v1/jobs/(?!job_)[^/]+")
"""Study UIDs and ids of a client's own may identify a patient: the log has `-` in their place."""


class AccessLog(Logger):
    """Gunicorn's access log, with the path percent-encoded: decoded, a path may contain line breaks."""

    def atoms(self, *arguments: Any) -> dict[str, Any]:
        """Return the values that the format of the access log refers to."""
        atoms = dict(super().atoms(*arguments))
        atoms["U"] = STUDY.sub("/dicom-web/studies/-", OWN_ID.sub("/v1/jobs/-", quote(atoms["U"])))
        return atoms


wsgi_app = "api.app:from_environment()"
workers = 2
worker_class = "api.server.worker.Worker"
# Most threads wait for jobs to change; api/http/threads.py says how many are left for other requests.
threads = THREADS
worker_connections = CONNECTIONS
graceful_timeout = 15
# Longer than most clients and proxies keep an idle connection (60 s), so that the client closes it: when the
# server closes it, a request that is on its way is lost.
keepalive = 75
control_socket_disable = True
# Gunicorn kills a worker whose heartbeat file is out of date, as it may be on a slow disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a file of its own
# A raw submission has its fields in the query. 8190 bytes are the most that gunicorn supports.
limit_request_line = 8190
logger_class = AccessLog
accesslog = "-"
# The path without its query, which has the client's reference in a raw submission.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(L)s s %({x-request-id}o)s'


def on_starting(_: Arbiter) -> None:
    """Check settings and stores, and raise the limit of open files, before the first worker starts.

    Wrong settings, and stores of another service, are printed to stderr and end the process with status 2.
    """
    # Each request needs a connection of its client and one to Redis: often more than the usual 1024 files.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        Stores.connect(Settings.from_environment(os.environ)).check()
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except TransientError:
        pass  # /health/ready reports it, and the API compares the stores once they answer.
    # prometheus_client keeps a file for each worker here. Bodies of requests may fill /tmp, but not /dev/shm.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="osteo-metrics-", dir=worker_tmp_dir)


def on_exit(_: Arbiter) -> None:
    """Remove the metrics of the workers, all of which have ended."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def post_worker_init(worker: Worker) -> None:
    """Answer the requests that wait for a job as soon as the worker gets a signal to stop."""
    changes = worker.wsgi.extensions["changes"]
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        handler = signal.getsignal(number)
        signal.signal(number, partial(_stop, changes, handler))
    signal.siginterrupt(signal.SIGTERM, False)


def _stop(changes: Changes, handler: Any, number: int, frame: Any) -> None:
    changes.stop()
    handler(number, frame)
