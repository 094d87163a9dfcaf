"""Configures gunicorn for the API. The address to listen on is a command-line argument."""

import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from api.http.threads import CONNECTIONS, THREADS
from api.identity.caller import CLIENT, KEY, READER
from api.identity.oidc import Provider
from jobs.record.errors import TransientError
from jobs.record.job import moment_text, now
from jobs.redis.changes import Changes
from jobs.settings import Settings, SettingsError
from jobs.spans import check_spans, stop_recording
from jobs.store.stores import Stores

STUDY = re.compile("^/dicom-web/studies/.*")
OWN_ID = re.compile("^/v1/jobs/(?!job_)[^/]+")
"""Study UIDs and ids of a client's own may identify a patient: the log has `-` in their place."""


class AccessLog(Logger):
    """Gunicorn's access log, as a JSON object a line. Of what the client sent it has method and path."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Write the line of one request. Who sent it is known where the API has authenticated it."""
        if not self.access_log_enabled:
            return
        # Decoded, a path may contain line breaks. Its query has the client's reference in a raw submission.
        path = OWN_ID.sub("/v1/jobs/-", quote(environ["PATH_INFO"]))
        line = {
            "time": moment_text(now()),
            "client": environ.get(CLIENT),
            "key": environ.get(KEY),
            "reader": environ.get(READER),
            "request": {name.lower(): value for name, value in resp.headers}.get("x-request-id"),
            "address": environ.get("REMOTE_ADDR"),
            "method": environ["REQUEST_METHOD"],
            "path": STUDY.sub("/dicom-web/studies/-", path),
            "status": int(str(resp.status).split(None, 1)[0]),
            "bytes": resp.sent,
            "seconds": request_time.total_seconds(),
        }
        self.access_log.info(json.dumps(line))


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


def on_starting(_: Arbiter) -> None:
    """Check settings and stores, and raise the limit of open files, before the first worker starts.

    Wrong settings, and stores of another service, are printed to stderr and end the process with status 2.
    """
    # Each request needs a connection of its client and one to Redis: often more than the usual 1024 files.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        # The workers, which this process forks, must not inherit its connections.
        settings = Settings.from_environment(os.environ)
        check_spans(settings.otlp_endpoint)
        Provider.of(settings)
        with closing(Stores.connect(settings)) as stores:
            stores.check()
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


def worker_exit(_: Arbiter, __: Worker) -> None:
    """Send the last spans of a worker that has ended."""
    stop_recording()


def _stop(changes: Changes, handler: Any, number: int, frame: Any) -> None:
    changes.stop()
    handler(number, frame)
