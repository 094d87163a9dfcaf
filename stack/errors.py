"""Defines why a stack does not start or go on; each message says what to do."""


class StartRefused(Exception):
    """Nothing was started, because of a port, a folder or a setting. Exit status 2."""


class GaveUp(Exception):
    """A part does not run and is not restarted any more; the whole stack stops. Exit status 1."""


class StopRequested(Exception):
    """The stack was asked to stop, by Ctrl-C or a signal. Exit status 0."""
