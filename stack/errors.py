"""Why a stack did not start or does not go on, said so that a person can act on it."""


class StartRefused(Exception):
    """Nothing was started: a port, a folder or a setting stands against it. Exit status 2."""


class GaveUp(Exception):
    """A part does not run and is not restarted any more; the whole stack stops. Exit status 1."""


class StopRequested(Exception):
    """Somebody asked the stack to stop, by Ctrl-C or a signal. Exit status 0."""
