"""Lets a test see each request of a process to the object store before it is sent, and answer it."""

from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from jobs.store.objects import Objects

Watch = Callable[[str, str], AWSResponse | None]


def watch(objects: Objects, note: Watch) -> None:
    """Call `note` with the action and the key, or the prefix, of each request of `objects` from now on.

    An answer that `note` returns takes the place of the server's.
    """
    session = objects._client._endpoint.http_session
    send = session.send

    def watched(request: AWSPreparedRequest) -> AWSResponse:
        url = urlsplit(request.url)
        key = unquote(url.path).partition("/")[2].partition("/")[2]
        action = {"GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject", "HEAD": "HeadObject"}
        if "list-type" in url.query:
            return note("ListBucket", parse_qs(url.query).get("prefix", [""])[0]) or send(request)
        return note(action[request.method], key) or send(request)

    session.send = watched
