import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from jobs.record.errors import NotStored, StoreUnavailable
from jobs.store.objects import Objects

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def a_server(answer: Callable[[str, str, dict[str, str]], Answer | None]) -> Iterator[str]:
    """Run an HTTP server that answers by method, path and headers; None: it hangs up. Yield its address."""

    class Store(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answered = answer(self.command, self.path, {**self.headers})
            if answered is None:
                self.close_connection = True
                return
            status, headers, body = answered
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_DELETE = do_HEAD = _answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


KEYS = ("a", "jobs/job_1/ledger/000002", "a b+c~d=e&f", "clients/Žižkov/ä%2F", "a~b/c.d")


@pytest.mark.parametrize("key", KEYS)
def test_an_object_of_any_key_is_the_one_that_boto3_stores(ledger, settings, key):
    config = Config(s3={"addressing_style": "path"})
    client = boto3.Session().client("s3", endpoint_url=settings.s3_endpoint_url, config=config)
    ledger.objects.put(key, b"image", "image/png")
    stored = client.get_object(Bucket=settings.s3_bucket, Key=key)
    assert (stored["Body"].read(), stored["ContentType"]) == (b"image", "image/png")
    assert ledger.objects.get(key) == b"image"
    ledger.objects.delete(key)
    with pytest.raises(ClientError):
        client.head_object(Bucket=settings.s3_bucket, Key=key)


def test_keys_are_listed_as_boto3_lists_them(ledger, settings):
    config = Config(s3={"addressing_style": "path"})
    client = boto3.Session().client("s3", endpoint_url=settings.s3_endpoint_url, config=config)
    for key in KEYS:
        ledger.objects.put(f"listed/{key}", b"")
    for prefix, after in (
        ("listed/", ""),
        ("listed/a ", ""),
        ("listed/", f"listed/{KEYS[2]}"),
        ("none/", ""),
    ):
        listed = client.list_objects_v2(Bucket=settings.s3_bucket, Prefix=prefix, StartAfter=after)
        keys = [entry["Key"] for entry in listed.get("Contents", ())]
        assert list(ledger.objects.keys(prefix, after)) == keys


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_all_pages_of_a_listing_are_read(settings, namespace):
    asked: list[str | None] = []

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        query = parse_qs(urlsplit(path).query)
        asked.append(query.get("continuation-token", [None])[0])
        key, *more = [("a%20b", "next+/="), ("c", "last"), ("d",)][len(asked) - 1]
        body = f"<ListBucketResult{namespace}><EncodingType>url</EncodingType>"
        body += f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated><Contents><Key>{key}</Key></Contents>"
        body += "".join(f"<NextContinuationToken>{token}</NextContinuationToken>" for token in more)
        return 200, {}, f"{body}</ListBucketResult>".encode()

    with a_server(answer) as url:
        assert list(Objects.connect(url, "osteo").keys("")) == ["a b", "c", "d"]
    assert asked == [None, "next+/=", "last"]


def test_a_listing_that_is_no_xml_is_an_answer_of_no_store(settings):
    with a_server(lambda *_: (200, {}, b"<html><p>Sign in")) as url, pytest.raises(StoreUnavailable):
        list(Objects.connect(url, "osteo").keys(""))


@pytest.mark.parametrize(
    "passing", [None, (503, {}, b""), (400, {}, b"<Error><Code>RequestTimeout</Code></Error>")]
)
def test_a_request_is_repeated_once_where_its_failure_may_pass(settings, passing):
    answers: list[Answer | None] = [passing, (200, {}, b"record")]
    with a_server(lambda *_: answers.pop(0)) as url:
        assert Objects.connect(url, "osteo").get("key") == b"record"
    answers = [passing, passing, (200, {}, b"record")]
    with a_server(lambda *_: answers.pop(0)) as url, pytest.raises(StoreUnavailable):
        Objects.connect(url, "osteo").get("key")


def test_an_object_that_arrives_in_part_is_not_taken_for_the_whole(settings):
    cut = {"Content-Length": "9", "Connection": "close"}
    with (
        a_server(lambda *_: (200, cut, b"image")) as url,
        pytest.raises(StoreUnavailable, match="ResponseStreamingError"),
    ):
        Objects.connect(url, "osteo").get("key")


def test_an_object_is_missing_and_a_bucket_is_an_error(settings):
    code = {"key": "NoSuchKey", "other": "NoSuchBucket"}

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        return 404, {}, f"<Error><Code>{code[path.removeprefix('/osteo/')]}</Code></Error>".encode()

    with a_server(answer) as url:
        objects = Objects.connect(url, "osteo")
        with pytest.raises(NotStored):
            objects.get("key")
        with pytest.raises(StoreUnavailable, match="bucket does not exist"):
            objects.get("other")


def test_a_bucket_of_another_region_is_found_as_boto3_finds_it(settings):
    regions: list[str] = []

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        region = re.search(r"Credential=[^/]+/\d+/([^/]+)/s3/", headers["Authorization"])
        assert region
        regions.append(region[1])
        if region[1] == "eu-west-1":
            listing = b"<ListBucketResult><Contents><Key>key</Key></Contents></ListBucketResult>"
            return 200, {}, listing if "?" in path else b"image" if method == "GET" else b""
        error = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"
        return 400, {"x-amz-bucket-region": "eu-west-1"}, error

    with a_server(answer) as url:
        objects = Objects.connect(url, "osteo")
        objects.put_new("key", b"record")
        assert objects.get("key") == b"image"
        assert list(objects.keys("")) == ["key"]
    # Each is asked once in the wrong region. boto3 has to find the right one once.
    assert regions == ["us-east-1", *["us-east-1", "eu-west-1"] * 3]


def test_a_request_has_the_token_of_temporary_credentials(settings, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary")
    tokens: list[str | None] = []

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        tokens.append(headers.get("X-Amz-Security-Token"))
        return 200, {}, b""

    with a_server(answer) as url:
        Objects.connect(url, "osteo").put("key", b"")
    assert tokens == ["temporary"]


def test_a_request_without_credentials_says_what_to_set(settings, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.fspath(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.fspath(tmp_path / "none"))
    with pytest.raises(StoreUnavailable, match="set AWS_ACCESS_KEY_ID"):
        Objects.connect("http://127.0.0.1:1", "osteo").get("key")
