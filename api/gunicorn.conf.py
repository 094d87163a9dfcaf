"""How gunicorn serves the API, on one machine and in a container; the address comes by command line."""

import os
import re
from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger


class AccessLog(Logger):
    """Gunicorn's log, with the path as it came: decoded, it could hold a line of somebody else's making."""

    def atoms(self, *arguments: Any) -> dict[str, Any]:
        """What a line of the access log is made of."""
        atoms = dict(super().atoms(*arguments))
        # Which study a client sends is not for the log either.
        atoms["U"] = re.sub("^/dicom-web/studies/.*", "/dicom-web/studies/-", quote(atoms["U"]))
        return atoms


wsgi_app = "api.app:from_environment()"
workers = 2
threads = 8
graceful_timeout = 15
# Longer than clients and proxies keep an idle connection (60 s in most): whoever closes first may cut off a
# request that is on its way, and only the client knows whether one is.
keepalive = 75
control_socket_disable = True
# A heartbeat file on a slow disk lets gunicorn kill workers that are well.
if os.access("/dev/shm", os.W_OK):
    worker_tmp_dir = "/dev/shm"
# The fields of a raw submission stand in the query; this is gunicorn's most.
limit_request_line = 8190
logger_class = AccessLog
accesslog = "-"
# The path without its query: a raw submission has the client's reference in it.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(L)s s'
