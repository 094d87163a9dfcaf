"""Makes the blueprint of the reading room: pages that sessions open, and no key."""

from flask import Blueprint
from werkzeug.wrappers import Response

from api.identity.people import People
from api.reading_room.access import admit
from api.reading_room.page import ROOM
from api.reading_room.push import Push, add_push
from api.reading_room.sign_in import add_sign_in
from api.reading_room.sign_in_oidc import add_oidc_sign_in
from api.reading_room.static_files import add_static_files
from jobs.store.compatibility import Compatibility


def reading_room(people: People, compatibility: Compatibility, push: Push) -> Blueprint:
    """Make the blueprint, with signing in and out, and push. All other pages are added to it.

    A view that is added finds the reader in `g.reader`, sets `g.action` if the act is to be audited, and
    `g.acted_for` to the client whose job it is. One that takes a body has takes_form of
    api.intake.body_limits below the decorator of its route.
    """
    pages = Blueprint("reading_room", __name__, url_prefix=ROOM, template_folder="templates")

    @pages.before_request
    def admit_people() -> Response | None:
        return admit(people, compatibility)

    add_static_files(pages)
    add_sign_in(pages, people, compatibility, push)
    add_push(pages, push, people)
    if people.provider:
        add_oidc_sign_in(pages, people, people.provider, compatibility)
    return pages
