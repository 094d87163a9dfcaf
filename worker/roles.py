"""Runs the roles of a worker process: builds each from the settings, and consumes its queues."""

import logging
import signal
from datetime import timedelta
from functools import partial
from threading import Event, Thread

from celery import Celery
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from jobs.models.bundles import Bundles
from jobs.models.roll_out import RollOuts
from jobs.record.errors import TransientError
from jobs.redis.delivery_queues import DELIVERY_THREADS
from jobs.redis.queue import DELIVER, QUEUE_OF_PRIORITY, celery_app
from jobs.settings import Settings
from jobs.store.receivers import Receivers
from jobs.store.served_model import publish
from jobs.store.stores import Stores
from jobs.store.webhook_settings import Webhooks
from worker.celery_tasks import register_delivery, register_inference
from worker.delivery import metrics as delivery_metrics
from worker.delivery.deliver import DeliveryContext
from worker.heartbeat import Heartbeat
from worker.inference.memory import keep_heaps_small
from worker.metrics_port import serve_metrics
from worker.sweeper.purge import purge_until
from worker.sweeper.reconcile import reconcile_until
from worker.sweeper.sweep import Sweeper, sweep
from worker.task_events import BatchedEvents

log = logging.getLogger(__name__)

QUEUES_OF_ROLE = {"inference": tuple(QUEUE_OF_PRIORITY.values()), "delivery": (DELIVER,), "sweeper": ()}

_REMEMBERED = 1.0
"""Seconds for which a delivery uses what it has read of a client's webhook and of its receiver."""


def run_inference(settings: Settings) -> None:
    """Load the model, then analyse jobs until the process is to stop.

    Raises SettingsError for the port of its metrics, and BundleRefused or NoEngine for the model.
    """
    # Only this role needs TensorFlow, and the shadow.
    from worker.inference import metrics
    from worker.inference.analyse import AnalysisContext
    from worker.inference.decoders import decoders_of
    from worker.inference.serial_analysis import SerialAnalysis
    from worker.inference.watchdog import Watchdog
    from worker.rollout import metrics as model_metrics
    from worker.rollout.attempts import Attempts
    from worker.rollout.loader import Loader
    from worker.rollout.models import Models
    from worker.rollout.trial import Trial

    keep_heaps_small()
    serve_metrics(settings, metrics.REGISTRY, model_metrics.REGISTRY)
    stores = Stores.connect(settings, may_delete=False)
    stopping = Event()
    trial = Trial(settings.engine, settings.engine_cache, settings.model_load_seconds, stopping)
    watchdog = Watchdog(settings.analysis_seconds)
    loader = Loader(Bundles(stores.objects), settings, trial, watchdog)
    own = loader.load_own(settings.bundle)
    metrics.begin(own.digest)
    ledger = stores.ledger
    heartbeat = Heartbeat(ledger.view.heartbeats, "inference")
    watchdog.start()
    attempts = Attempts(loader, ledger.view.model_loads, heartbeat.name)
    models = Models(
        own=own,
        attempts=attempts,
        roll_outs=RollOuts(stores.records),
        batch=settings.batch,
        shadow_queue=ledger.view.shadow_queue,
        publish=partial(publish, ledger.objects),
    )
    # Before the first job: else the worker's own bundle would answer for a moment. It also publishes what
    # `GET /v1/model` answers.
    before = signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    models.follow()
    signal.signal(signal.SIGTERM, before)
    if stopping.is_set():
        return
    worker_shutdown.connect(lambda **_: watchdog.stop(), weak=False)
    worker_shutdown.connect(lambda **_: attempts.end_loads(), weak=False)
    worker_shutting_down.connect(lambda **_: stopping.set(), weak=False)
    Thread(
        target=models.watch_until, args=(stopping, settings.model_seconds), name="models", daemon=True
    ).start()
    decoders = decoders_of(settings, settings.decode_processes)
    context = AnalysisContext(
        ledger=ledger,
        queue=stores.queue,
        model_of=models.of,
        decode=decoders.decode,
        runner=heartbeat.name,
        max_attempts=settings.max_attempts,
        watchdog=watchdog,
        serial_analysis=SerialAnalysis(stopping),
        stopping=stopping,
        copy=models.copy_to_shadow,
    )
    app = celery_app(settings.redis_url)
    register_inference(app, context)
    # Twice the batch: while one batch is in the model, the next one is read and decoded.
    _consume(app, settings, "inference", heartbeat, settings.batch * 2)


def run_delivery(settings: Settings) -> None:
    """Deliver callbacks until the process is to stop. Raises SettingsError for the port of its metrics."""
    # Only this role has the packages that encrypt and sign for push services.
    from worker.notices import metrics as notice_metrics
    from worker.notices.notify import NoticeContext, notify_until

    delivery_metrics.begin()
    notice_metrics.begin()
    serve_metrics(settings, delivery_metrics.REGISTRY, notice_metrics.REGISTRY)
    stores = Stores.connect(settings)
    ledger = stores.ledger
    heartbeat = Heartbeat(ledger.view.heartbeats, "delivery")
    stopping = Event()
    context = DeliveryContext(
        process=heartbeat.name,
        ledger=ledger,
        queue=stores.queue,
        webhooks=Webhooks(ledger.records, settings.signing_key, _REMEMBERED),
        receivers=Receivers(ledger.records, _REMEMBERED),
        public_url=settings.public_url,
        exceptions=settings.callback_exceptions,
        seconds=settings.callback_seconds,
        target_seconds=settings.target_seconds,
        stopping=stopping,
    )
    # In a thread of its own, so that no callback waits for a mail server.
    telling = Thread(
        target=notify_until, args=(stopping, NoticeContext.of(settings, ledger)), name="notices", daemon=True
    )
    worker_ready.connect(lambda **_: telling.start(), weak=False)
    worker_shutting_down.connect(lambda **_: stopping.set(), weak=False)
    app = celery_app(settings.redis_url)
    register_delivery(app, context)
    _consume(app, settings, "delivery", heartbeat, DELIVERY_THREADS)


def run_sweeper(settings: Settings, stop: Event) -> None:
    """Sweep until `stop` is set. Raises SettingsError for the port of its metrics."""
    serve_metrics(settings)
    stores = Stores.connect(settings)
    ledger = stores.ledger
    heartbeat = Heartbeat(ledger.view.heartbeats, "sweeper")
    heartbeat.start()
    sweeper = Sweeper(
        ledger=ledger,
        queue=stores.queue,
        max_attempts=settings.max_attempts,
        running_limit=timedelta(seconds=settings.running_seconds),
    )
    # In threads of their own, so that no job waits while thousands are deleted or markers are listed.
    purging = (stop, ledger, stores.queue, settings.rewrite_seconds)
    Thread(target=purge_until, args=purging, name="purge", daemon=True).start()
    reconciling = (stop, sweeper, settings.reconcile_seconds)
    Thread(target=reconcile_until, args=reconciling, name="reconcile", daemon=True).start()
    while not stop.wait(settings.sweep_seconds):
        # The audit log comes second: a store that refuses its entries delays no job.
        for work in (partial(sweep, sweeper), stores.audit.carry_over):
            try:
                work()
            except TransientError as error:
                log.warning("this round of sweeping ended early: %s", error)
            except Exception:
                log.exception("this round of sweeping broke")
    heartbeat.stop()


def _consume(app: Celery, settings: Settings, role: str, heartbeat: Heartbeat, threads: int) -> None:
    worker_ready.connect(lambda **_: heartbeat.start(), weak=False)
    worker_shutdown.connect(lambda **_: heartbeat.stop(), weak=False)
    app.steps["consumer"].add(BatchedEvents)
    app.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={threads}",
            f"--queues={','.join(QUEUES_OF_ROLE[role])}",
            f"--hostname={role}@%h",
            f"--loglevel={settings.log_level}",
            "--task-events",
            "--without-gossip",
            "--without-mingle",
        ]
    )
