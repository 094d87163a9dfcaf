"""Starts the processes in which a worker decodes images, bounded as the settings say."""

from jobs.settings import Settings
from model.decode_processes.pool import Decoders
from model.decode_processes.process import Bounds


def decoders_of(settings: Settings, processes: int) -> Decoders:
    """Return so many decode processes, started."""
    bounds = Bounds(**settings.decode_bounds)
    decoders = Decoders(bounds, processes, settings.decode_wait_seconds)
    decoders.start()
    return decoders
