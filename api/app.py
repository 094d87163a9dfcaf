"""The Flask application; gunicorn starts it with `api.app:from_environment()`."""

import logging
import os
from importlib.resources import files

from flask import Flask, Response, g, request

from api.admission import Admission
from api.credentials import DICOMWEB, key_of
from api.dicomweb_routes import dicomweb_routes
from api.health import health_routes
from api.intake import Intake
from api.job_routes import job_routes
from api.keys import Keys
from api.metrics import metrics_routes
from api.problem import Problem, answer_problems
from api.submission import FORM_OVERHEAD
from api.webhook_routes import Desk, webhook_routes
from jobs.errors import StoreUnavailable
from jobs.ledger import Ledger
from jobs.logs import log_as_json
from jobs.objects import Objects
from jobs.probes import Probes
from jobs.queue import JobQueue
from jobs.receivers import Receivers
from jobs.settings import Settings
from jobs.view import View
from jobs.webhook import Webhooks

log = logging.getLogger(__name__)


def create_app(settings: Settings, ledger: Ledger, queue: JobQueue, keys: Keys) -> Flask:
    """The application over the given collaborators."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_bytes + FORM_OVERHEAD
    app.config["MAX_FORM_PARTS"] = 20
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of the contract reads better
    answer_problems(app)
    intake = Intake(settings, ledger, queue, Admission.over(settings, ledger.view.lines))
    app.register_blueprint(job_routes(intake))
    app.register_blueprint(dicomweb_routes(intake))
    webhooks, receivers = Webhooks(ledger.objects, settings.signing_key), Receivers(ledger.objects)
    desk = Desk(settings, ledger, queue, webhooks, receivers, Probes(ledger.objects))
    app.register_blueprint(webhook_routes(desk))
    app.register_blueprint(health_routes(ledger))
    app.register_blueprint(metrics_routes(ledger, receivers))
    openapi = (files("api") / "openapi.json").read_bytes()

    @app.get("/openapi.json")
    def openapi_document() -> Response:
        return Response(openapi, content_type="application/json")

    @app.before_request
    def authenticate() -> None:
        if not request.path.startswith(("/v1/", DICOMWEB)):
            return
        key = key_of(request)
        client = keys.client_of(key) if key else None
        if client is None:
            detail = (
                "Send a valid API key as `Authorization: Bearer <api key>`; the operator makes one for you."
            )
            raise Problem(401, "unauthorized", detail)
        g.client = client

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
    objects = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
    try:
        objects.make_bucket()
    except StoreUnavailable as error:
        log.error("starting without the object store; readiness will say so: %s", error)
    ledger = Ledger(objects, View.connect(settings.redis_url, settings.view_seconds))
    return create_app(settings, ledger, JobQueue.connect(settings.redis_url), Keys(objects))
