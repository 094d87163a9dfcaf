"""Runs the shadow role of a worker process, built from the settings."""

import os
from threading import Event

from jobs.models.bundles import Bundles
from jobs.models.roll_out import RollOuts
from jobs.settings import Settings
from jobs.store.stores import Stores
from worker.heartbeat import Heartbeat
from worker.metrics_port import serve_metrics

_NICE = 19
"""The lowest priority of the kernel: a copy is scored with what the jobs of this machine leave."""


def run_shadow(settings: Settings, stop: Event) -> None:
    """Score copies of jobs until `stop` is set. Raises SettingsError for the port of its metrics."""
    # Only this role and inference have the packages that an analysis imports.
    from worker.inference.decoders import decoders_of
    from worker.inference.memory import keep_heaps_small
    from worker.inference.watchdog import Watchdog
    from worker.rollout import metrics
    from worker.rollout.attempts import Attempts
    from worker.rollout.loader import Loader
    from worker.rollout.shadow import Shadow
    from worker.rollout.trial import Trial

    keep_heaps_small()
    os.nice(_NICE)
    serve_metrics(settings, metrics.REGISTRY)
    stores = Stores.connect(settings, may_delete=False)
    ledger = stores.ledger
    heartbeat = Heartbeat(ledger.view.heartbeats, "shadow")
    watchdog = Watchdog(settings.analysis_seconds)
    decoders = decoders_of(settings, processes=1)
    heartbeat.start()
    watchdog.start()
    roll_outs = RollOuts(stores.records, settings.model_seconds)
    trial = Trial(settings.engine, settings.engine_cache, settings.model_load_seconds, stop)
    loader = Loader(Bundles(stores.objects), settings, trial, watchdog)
    attempts = Attempts(loader, ledger.view.model_loads, heartbeat.name)
    Shadow(ledger, roll_outs, attempts, decoders.decode, watchdog).work_until(stop)
    watchdog.stop()
    heartbeat.stop()
