"""Serves the page of a scene below `/ar`, which a link opens and no key."""

import json
from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Response, current_app, g, jsonify, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from api.ar import glb, usdz
from api.ar.scale import scale_of
from api.ar.scene_files import SceneFiles
from api.ar.scene_links import SceneLinks, link_ended
from api.http.problem import Problem, ProblemResponse
from api.http.problem_kinds import Slug
from api.http.static_files import StaticFiles
from api.identity.caller import CLIENT, KEY, Caller
from api.identity.key_store import Keys
from api.identity.scopes import Scope
from api.routes.health import check_compatibility
from api.routes.job_answers import succeeded_job, targets_now
from jobs.record.job import moment_text
from jobs.store.compatibility import Compatibility

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' blob:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Permissions-Policy": "xr-spatial-tracking=(self), camera=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    # The address has the token of the link.
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def scene_pages(
    scene_files: SceneFiles, links: SceneLinks, keys: Keys, compatibility: Compatibility
) -> Blueprint:
    """Make the blueprint of the page, its files and its scripts. None of it changes anything."""
    pages = Blueprint("ar_page", __name__, url_prefix="/ar", template_folder="templates")
    ledger, static = scene_files.ledger, StaticFiles(Path(str(files("api.ar"))) / "static")

    @pages.before_request
    def admit() -> None:
        """Admit a request whose link belongs to the job in its path. It acts for the key that made the link.

        Raises Problem: 401 for a link that is forged or expired, or whose key has ended; 404 for another job.
        """
        job_id = (request.view_args or {}).get("job_id")
        if job_id is None:
            return
        link = links.read(request.args.get("t", ""))
        check_compatibility(compatibility)
        key = keys.valid(link.key)
        if key is None or Scope.READ not in key.scopes:
            raise link_ended()
        g.caller, g.link = Caller(key.client, key, g.traceparent), link
        request.environ |= {CLIENT: key.client, KEY: key.id}
        g.action, g.polled = "openSceneLink", True
        if link.job != job_id:
            raise Problem(Slug.NO_SUCH_JOB, "This link is not of this job. Open it as it was made.")

    @pages.after_request
    def answer(response: Response) -> Response:
        accepted = request.accept_mimetypes
        if isinstance(response, ProblemResponse) and accepted["text/html"] > accepted["application/json"]:
            problem = json.loads(response.get_data())
            response.set_data(render_template("ar_problem.html", base=_base(), problem=problem))
            response.content_type = "text/html; charset=utf-8"
        response.headers.update(_HEADERS)
        response.vary.add("Accept")
        return response

    @pages.get("/<job_id>")
    def page(job_id: str) -> str:
        job = succeeded_job(job_id, ledger)
        scale = scale_of(job, g.link.assumed)
        return render_template(
            "ar.html",
            base=_base(),
            job=job,
            scale=scale,
            acquisition=job.acquisition or {},
            token=request.args["t"],
            expires_at=moment_text(g.link.expires_at),
        )

    @pages.get("/<job_id>/scene.glb")
    def scene_glb(job_id: str) -> Response:
        return scene_files.answer(succeeded_job(job_id, ledger), g.link.assumed, glb.MEDIA_TYPE)

    @pages.get("/<job_id>/scene.usdz")
    def scene_usdz(job_id: str) -> Response:
        return scene_files.answer(succeeded_job(job_id, ledger), g.link.assumed, usdz.MEDIA_TYPE)

    @pages.get("/<job_id>/targets")
    def targets(job_id: str) -> Response:
        return jsonify(targets_now(succeeded_job(job_id, ledger), ledger, scene_files.target_seconds))

    @pages.get("/static/<name>")
    def static_file(name: str) -> AnyResponse:
        return static.answer(name)

    return pages


def _base() -> str:
    """Return the path of the pages, with the path prefix of the service."""
    return f"{current_app.config['PREFIX']}/ar"
