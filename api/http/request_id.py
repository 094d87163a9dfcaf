"""The id of each request, the client's own or one made here: in the answer, in problems, logs and audit."""

import re
import secrets

from flask import Flask, Response, g, request

from jobs.trace import asked

HEADER = "X-Request-ID"
FORM = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
"""What is taken of a client's: no other text goes into logs."""


def identify_requests(app: Flask) -> None:
    """Give each request its id, as `g.request_id`; registered before all that may answer it."""

    @app.before_request
    def identify() -> None:
        given = request.headers.get(HEADER, "")
        g.request_id = given if FORM.fullmatch(given) else f"req_{secrets.token_hex(16)}"
        asked.set(g.request_id)

    @app.after_request
    def tell(response: Response) -> Response:
        response.headers[HEADER] = g.request_id
        return response

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        asked.set(None)  # the thread goes on to another request
