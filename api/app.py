"""The Flask application; gunicorn starts it with `api.app:from_environment()`."""

import logging
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

from flask import Flask

from api.ar.film_routes import film_routes
from api.ar.page import scene_pages
from api.ar.registration_routes import registration_routes
from api.ar.routes import ar_routes
from api.ar.scene_files import SceneFiles
from api.ar.scene_links import SceneLinks
from api.audited import audit_requests
from api.callbacks.redeliveries import Redeliveries
from api.callbacks.routes import WebhookContext, webhook_routes
from api.hooks import (
    authenticate_requests,
    harden_answers,
    identify_requests,
    measure_requests,
    refuse_without_slot,
    trace_requests,
)
from api.http.cors import allow_origins
from api.http.multipart_form import FormRequest
from api.http.multipart_related import silence_multipart
from api.http.problem import answer_problems
from api.identity.key_store import Keys
from api.identity.people import People
from api.intake.accept import Intake
from api.intake.admission import Admission
from api.intake.decode import Pictures
from api.intake.submission import FORM_OVERHEAD
from api.reading_room.blueprint import reading_room
from api.reading_room.operator import add_operator_page
from api.reading_room.page import answer_browsers
from api.reading_room.pages import add_pages
from api.reading_room.parts import Room
from api.reading_room.push import Push
from api.readings.actions import ReadingActions
from api.readings.client_routes import client_reading_routes
from api.readings.consent_routes import consent_routes
from api.readings.key_set_routes import key_set_routes
from api.readings.reader_routes import reader_routes
from api.results.dicom_report import silence_highdicom
from api.results.pixels import PixelAnswers
from api.routes.dicomweb import dicomweb_routes
from api.routes.docs import document_routes
from api.routes.health import health_routes
from api.routes.job_results import result_routes
from api.routes.jobs import job_routes
from api.routes.keys import key_routes
from api.routes.metrics import metrics_routes
from api.routes.model import model_routes
from api.routes.pixels import pixel_routes
from api.routes.problems import problem_routes
from api.routes.studies import study_routes
from api.routes.submit import submit_routes
from api.routes.targets import target_routes
from api.routes.uploads import upload_routes
from api.routes.waiting import Waiting
from jobs.logs import log_as_json
from jobs.models.roll_out import RollOuts
from jobs.record.errors import NotStored, StoreUnavailable
from jobs.redis.changes import Changes
from jobs.settings import Settings, warn_of_unknown
from jobs.spans import record_spans
from jobs.store.objects import Objects
from jobs.store.probes import Probes
from jobs.store.receivers import Receivers
from jobs.store.stores import Stores
from jobs.store.uploads import Uploads
from jobs.store.webhook_settings import Webhooks
from model.library_logs import silence_pydicom

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collaborators:
    """The connections that the application uses."""

    stores: Stores
    keys: Keys
    changes: Changes
    upload_signer: Objects
    """The object store at the URL that clients use. It signs the URLs of uploads."""

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Connect to the stores that the settings name. Raises SettingsError."""
        stores = Stores.connect(settings)
        return cls(
            stores,
            Keys(stores.records, settings.key_seconds),
            Changes.connect(settings.redis_url),
            Objects.connect(settings.s3_public_url or settings.s3_endpoint_url, settings.s3_bucket),
        )


def create_app(settings: Settings, given: Collaborators) -> Flask:
    """Make the application over the given collaborators. It opens no other connection."""
    silence_pydicom()
    silence_multipart()
    stores, ledger, keys = given.stores, given.stores.ledger, given.keys
    app = Flask(__name__, static_folder=None, template_folder="openapi/pages")
    app.request_class = FormRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_bytes + FORM_OVERHEAD
    app.config["MAX_FORM_PARTS"] = 20
    app.config["PREFIX"] = urlsplit(settings.public_url).path.rstrip("/")
    app.url_map.merge_slashes = False  # a path with two slashes is another path, without a redirect
    app.json.sort_keys = False  # type: ignore[attr-defined]  # members stay in the order of the documentation
    measure_requests(app)
    identify_requests(app)
    answer_problems(app)
    pictures = Pictures.of(settings)
    app.extensions["pictures"] = pictures
    admission = Admission.over(settings, ledger.view.client_queues)
    people = People.over(settings, stores)
    readings = ReadingActions.over(settings, stores, people)
    roll_outs = RollOuts(stores.records, settings.model_seconds)
    intake = Intake(settings, ledger, stores.queue, admission, pictures, readings.policies, roll_outs)
    redeliveries = Redeliveries(ledger, stores.queue, admission)
    app.extensions["changes"] = given.changes
    waiting = Waiting(ledger, given.changes, settings.public_url)
    lifetime = timedelta(seconds=settings.upload_seconds)
    uploads = Uploads(ledger.objects, ledger.due_index, given.upload_signer, lifetime)
    app.register_blueprint(submit_routes(intake, waiting, uploads))
    app.register_blueprint(upload_routes(intake, uploads))
    app.register_blueprint(job_routes(ledger, stores.queue, redeliveries, waiting, settings.public_url))
    app.register_blueprint(result_routes(ledger, pictures, settings.public_url))
    pixels = PixelAnswers(pictures)
    app.register_blueprint(pixel_routes(ledger, pixels))
    scene_files = SceneFiles(ledger, pictures, settings.target_seconds)
    links = SceneLinks(settings.signing_key)
    app.register_blueprint(ar_routes(scene_files, links, settings.public_url))
    app.register_blueprint(registration_routes(ledger, pictures))
    app.register_blueprint(film_routes(ledger, pictures))
    app.register_blueprint(study_routes(intake, redeliveries, waiting))
    app.register_blueprint(dicomweb_routes(intake))
    webhooks, receivers = Webhooks(ledger.records, settings.signing_key), Receivers(ledger.records)
    probes = Probes(ledger.records, settings.probe_seconds)
    context = WebhookContext(
        settings, ledger, stores.queue, webhooks, receivers, probes, admission, redeliveries
    )
    app.register_blueprint(webhook_routes(context))
    app.register_blueprint(key_routes(keys))
    app.register_blueprint(model_routes(ledger.objects))
    compatibility = stores.compatibility()
    app.register_blueprint(scene_pages(scene_files, links, keys, compatibility))
    app.register_blueprint(health_routes(ledger, compatibility))
    app.register_blueprint(metrics_routes(ledger, receivers, roll_outs, bool(settings.metrics_clients)))
    app.register_blueprint(problem_routes())
    app.register_blueprint(client_reading_routes(readings, settings))
    app.register_blueprint(consent_routes(readings))
    app.register_blueprint(reader_routes(readings, settings.public_url))
    app.register_blueprint(key_set_routes(readings.signatures))
    app.register_blueprint(target_routes(ledger, settings.target_seconds, settings.public_url))
    pages = reading_room(people, compatibility, Push.over(settings, stores))
    add_pages(pages, Room(readings, intake, waiting, pixels, people))
    add_operator_page(pages, ledger, receivers)
    app.register_blueprint(pages)
    document_routes(app, settings.public_url)

    allow_origins(app, settings.cors_origins)
    answer_browsers(app, settings.frame_ancestors)
    audit_requests(app, stores.audit)
    trace_requests(app)
    authenticate_requests(app, settings, keys, people, compatibility)
    refuse_without_slot(app)
    harden_answers(app)
    return app


def from_environment() -> Flask:
    """Make the application by the settings in the environment. Raises SettingsError."""
    settings = Settings.from_environment(os.environ)
    log_as_json(settings.log_level)
    warn_of_unknown(os.environ)
    record_spans(settings.otlp_endpoint, "api")
    silence_highdicom()
    given = Collaborators.connect(settings)
    try:
        given.stores.objects.check()
    except (StoreUnavailable, NotStored) as error:
        log.error("starting without the object store; readiness will say so: %s", error)
    app = create_app(settings, given)
    # Started now, so that the first client does not wait until a process has loaded its libraries.
    app.extensions["pictures"].decoders.start()
    return app
