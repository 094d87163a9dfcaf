"""Sends requests for the objects of a bucket, signed by botocore, over the connections of a boto3 client.

A call of boto3 takes 2 to 3 ms of a core, and most of it in layers that serve any operation of any service.
These requests take less than half, and all of those that an analysis needs are among them.
"""

import random
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, quote, urlencode
from xml.etree import ElementTree

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.compat import unquote_str
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.parsers import create_parser
from botocore.response import StreamingBody

_PASSING = frozenset({429, 500, 502, 503, 504})
_ELSEWHERE = frozenset(
    {"301", "307", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
    | {"PermanentRedirect", "TemporaryRedirect"}
)
"""Codes of AWS for a request that another region has to answer."""


class _Elsewhere(Exception):
    """Another region has to answer this request."""


class ObjectRequests:
    """Sends requests for the objects of one bucket. Safe for use by several threads."""

    def __init__(self, client: Any, credentials: Any, bucket: str) -> None:
        """`client`: of boto3, for this bucket. `credentials`: those of its session, or None."""
        self._client = client
        self._credentials = credentials
        self._bucket = bucket
        self._session = client._endpoint.http_session
        self._parser = create_parser("rest-xml")

    @cached_property
    def _place(self) -> tuple[str, str]:
        """The address before a key, and the region to sign for: boto3 knows several ways to name a bucket."""
        parameters = {"Bucket": self._bucket, "Key": "key"}
        url, _, query = self._client.generate_presigned_url("get_object", Params=parameters).partition("?")
        return url.removesuffix("key"), parse_qs(query)["X-Amz-Credential"][0].split("/")[-3]

    def send(self, method: str, key: str, body: bytes = b"", **headers: str) -> bytes:
        """Send a request for the object `key` and return the body of the answer.

        `headers` have `_` in place of `-`. A request that got no answer, or one that may pass, is repeated
        once, as boto3 does. Raises what boto3 raises: ClientError with the server's code, or BotoCoreError.
        """
        try:
            return self._sent(method, quote(key, safe="/~"), body, headers)
        except _Elsewhere:
            return self._by_boto3(method, key, body, headers)

    def keys(self, prefix: str, after: str) -> Iterator[str]:
        """Yield the keys that start with `prefix`, after the key `after` only. Raises as `send` does."""
        asked = {"encoding-type": "url", "list-type": "2", "prefix": prefix} | _named("start-after", after)
        more = ""
        while True:
            query = urlencode(asked | _named("continuation-token", more), quote_via=quote, safe="~")
            try:
                page = _parsed(self._sent("GET", f"?{query}", b"", {}))
            except _Elsewhere:
                yield from self._keys_by_boto3(prefix, after)
                return
            encoded = page.findtext("{*}EncodingType") == "url"
            for entry in page.iterfind("{*}Contents/{*}Key"):
                key = entry.text or ""
                yield unquote_str(key) if encoded else key
            more = page.findtext("{*}NextContinuationToken") or ""
            if not more or page.findtext("{*}IsTruncated") != "true":
                return

    def _sent(self, method: str, place: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Send a request for a quoted `place` in the bucket. Raises _Elsewhere, and as `send` does."""
        if self._credentials is None:
            raise NoCredentialsError
        for last in (False, True):
            try:
                answer = self._answer(method, place, body, headers)
                # The session itself would hold the content twice for a moment, for each client that waits.
                content: bytes = StreamingBody(answer.raw, answer.headers.get("Content-Length")).read()
            except BotoCoreError:
                if last:
                    raise
            else:
                if answer.status_code < 300:
                    return content
                error = self._error(answer, content)
                code = error["Error"]["Code"]
                if code in _ELSEWHERE:
                    raise _Elsewhere
                if last or (answer.status_code not in _PASSING and code != "RequestTimeout"):
                    raise ClientError(error, f"{method} of an object")
            time.sleep(random.random())
        raise AssertionError("the last attempt returns or raises")

    def _answer(self, method: str, place: str, body: bytes, headers: dict[str, str]) -> AWSResponse:
        address, region = self._place
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["User-Agent"] = self._client.meta.config.user_agent
        request = AWSRequest(method, address + place, named, body)
        # Temporary credentials change.
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", region).add_auth(request)
        if method == "PUT":
            request.headers["Content-Length"] = str(len(body))
        prepared = AWSPreparedRequest(method, request.url, dict(request.headers.items()), body or None, True)
        answer: AWSResponse = self._session.send(prepared)
        return answer

    def _by_boto3(self, method: str, key: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Send the same request by boto3, which finds the region of the bucket and remembers it."""
        named: dict[str, Any] = {
            "".join(map(str.title, name.split("_"))): value for name, value in headers.items()
        }
        if method == "PUT":
            named["Body"] = body
        answer = getattr(self._client, f"{method.lower()}_object")(Bucket=self._bucket, Key=key, **named)
        return answer["Body"].read() if method == "GET" else b""

    def _keys_by_boto3(self, prefix: str, after: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, **_named("StartAfter", after)):
            yield from (entry["Key"] for entry in page.get("Contents", ()))

    def _error(self, answer: AWSResponse, content: bytes) -> dict[str, Any]:
        parts = {"status_code": answer.status_code, "headers": answer.headers, "body": content}
        error: dict[str, Any] = self._parser.parse(parts, None)
        return error


def _named(name: str, value: str) -> dict[str, str]:
    return {name: value} if value else {}


def _parsed(page: bytes) -> ElementTree.Element:
    try:
        # Of our own store; botocore parses it alike.
        return ElementTree.XML(page)
    except ElementTree.ParseError as error:
        raise HTTPClientError(error=error) from error
