"""The Flask application; gunicorn starts it with `api.app:from_environment()`."""

import logging
import os
from datetime import timedelta
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from admin.audit import audit_requests
from api.http.cors import allow_origins
from api.http.multipart_form import FormRequest
from api.http.problem import RETRY_SECONDS, Problem, answer_problems
from api.http.request_id import identify_requests
from api.identity.credentials import DICOMWEB, key_of
from api.identity.key_store import Keys
from api.intake.accept import Intake
from api.intake.admission import Admission
from api.intake.body_limits import Gate
from api.intake.decode import Pictures
from api.intake.submission import FORM_OVERHEAD
from api.openapi.describe import operation_of
from api.routes.dicomweb import dicomweb_routes
from api.routes.docs import document_routes
from api.routes.health import agreed, health_routes
from api.routes.job_ends import end_routes
from api.routes.job_list import list_routes
from api.routes.jobs import job_routes
from api.routes.keys import key_routes
from api.routes.metrics import metrics_routes
from api.routes.model import model_routes
from api.routes.problems import problem_routes
from api.routes.redeliveries import Redeliveries
from api.routes.studies import study_routes
from api.routes.submit import submit_routes
from api.routes.uploads import upload_routes
from api.routes.waiting import Waiting
from api.routes.webhook import Desk, webhook_routes
from jobs.logs import log_as_json
from jobs.record.errors import NotStored, StoreUnavailable
from jobs.redis.changes import Changes
from jobs.redis.queue import JobQueue
from jobs.redis.view import View
from jobs.settings import Settings, warn_of_unknown
from jobs.store.audit import Audit
from jobs.store.compatibility import Marks
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.probes import Probes
from jobs.store.receivers import Receivers
from jobs.store.uploads import Uploads
from jobs.store.webhook_settings import Webhooks
from jobs.trace import current, entered

log = logging.getLogger(__name__)


def create_app(settings: Settings, ledger: Ledger, queue: JobQueue, keys: Keys) -> Flask:
    """The application over the given collaborators."""
    app = Flask(__name__, static_folder=None, template_folder="openapi/pages")
    app.request_class = FormRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_bytes + FORM_OVERHEAD
    app.config["MAX_FORM_PARTS"] = 20
    app.config["PREFIX"] = urlsplit(settings.public_url).path.rstrip("/")
    app.url_map.merge_slashes = False  # two slashes make another path, not one to be led away from
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of the contract reads better
    identify_requests(app)
    answer_problems(app)
    pictures = Pictures.of(settings)
    app.extensions["pictures"] = pictures
    admission = Admission.over(settings, ledger.view.lines)
    intake = Intake(settings, ledger, queue, admission, pictures)
    redeliveries = Redeliveries(ledger, queue, admission)
    changes = Changes.connect(settings.redis_url)
    app.extensions["changes"] = changes
    waiting = Waiting(ledger, changes, settings.public_url)
    signer = Objects.connect(settings.s3_public_url or settings.s3_endpoint_url, settings.s3_bucket)
    lifetime = timedelta(seconds=settings.upload_seconds)
    uploads = Uploads(ledger.objects, ledger.due, signer, lifetime)
    app.register_blueprint(submit_routes(intake, waiting, uploads))
    app.register_blueprint(upload_routes(intake, uploads))
    app.register_blueprint(list_routes(ledger, settings.public_url))
    app.register_blueprint(job_routes(settings, ledger, redeliveries, waiting, pictures))
    app.register_blueprint(end_routes(settings, ledger, queue))
    app.register_blueprint(study_routes(intake, redeliveries, waiting))
    app.register_blueprint(dicomweb_routes(intake))
    webhooks, receivers = Webhooks(ledger.records, settings.signing_key), Receivers(ledger.records)
    probes = Probes(ledger.records, settings.probe_seconds)
    desk = Desk(settings, ledger, queue, webhooks, receivers, probes, admission, redeliveries)
    app.register_blueprint(webhook_routes(desk))
    app.register_blueprint(key_routes(keys))
    app.register_blueprint(model_routes(ledger.objects))
    marks = Marks(ledger.records, ledger.view.lines.redis, settings.signing_key)
    app.register_blueprint(health_routes(ledger, marks))
    app.register_blueprint(metrics_routes(ledger, receivers))
    app.register_blueprint(problem_routes())
    document_routes(app, settings.public_url)

    allow_origins(app, settings.cors_origins)
    audit_requests(app, Audit(ledger.objects, ledger.view.lines.redis))

    @app.before_request
    def trace() -> None:
        g.traceparent = entered(request.headers.get("traceparent"))
        current.set(g.traceparent)

    @app.teardown_request
    def leave_trace(_: BaseException | None) -> None:
        current.set(None)  # the thread goes on to another request

    @app.before_request
    def authenticate() -> None:
        operation = operation_of(app.view_functions.get(request.endpoint or ""))
        if operation.public if operation else not request.path.startswith(("/v1/", DICOMWEB)):
            return
        agreed(marks)
        text = key_of(request)
        key = keys.holder_of(text) if text else None
        if text is None or key is None:
            detail = (
                "Send a valid API key as `Authorization: Bearer <api key>`; the operator makes one for you."
            )
            raise Problem(401, "unauthorized", detail)
        g.client, g.key = key.client, key
        g.key_holds = lambda: keys.holder_of(text) is not None
        needed = operation.needs(request.method) if operation else None
        if needed and needed not in key.scopes:
            detail = f"This needs a key with the scope `{needed}`. The operator makes one for you."
            raise Problem(403, "insufficient-scope", detail, scope=needed)

    app.extensions["gate"] = Gate(app, authenticate, settings)

    @app.before_request
    def refuse_where_no_slot_came_free() -> None:
        if "api.too_busy" in request.environ:  # The server says so; nothing of the body is kept.
            detail = "Too many submissions are being read at this moment. Send it again later."
            raise Problem(503, "too-busy", detail, retry_after=RETRY_SECONDS)

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.update(g.get("headers", {}))
        return response

    return app


def from_environment() -> Flask:
    """The application as the environment sets it. Raises SettingsError."""
    settings = Settings.from_environment(os.environ)
    log_as_json(settings.log_level)
    warn_of_unknown(os.environ)
    objects = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
    try:
        objects.check()
    except (StoreUnavailable, NotStored) as error:
        log.error("starting without the object store; readiness will say so: %s", error)
    ledger = Ledger(objects, View.connect(settings.redis_url, settings.view_seconds))
    app = create_app(
        settings, ledger, JobQueue.connect(settings.redis_url), Keys(ledger.records, settings.key_seconds)
    )
    # The first client does not wait until a process has loaded its libraries.
    app.extensions["pictures"].decoders.start()
    return app
