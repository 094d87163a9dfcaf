"""How gunicorn serves the API, on one machine and in a container; the address comes by command line."""

import os

wsgi_app = "api.app:from_environment()"
workers = 2
threads = 8
graceful_timeout = 15
control_socket_disable = True
# A heartbeat file on a slow disk lets gunicorn kill workers that are well.
if os.access("/dev/shm", os.W_OK):
    worker_tmp_dir = "/dev/shm"
accesslog = "-"
# The path without its query: a raw submission has the client's reference in it.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(L)s s'
