"""Tests Redis as operators run it: behind sentinels, with TLS and users, demoted to replica."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from kombu.exceptions import OperationalError
from redis import Redis, SSLConnection
from redis.exceptions import RedisError
from redis.sentinel import SentinelConnectionPool

from jobs.record.errors import QueueAway, QueueUnavailable
from jobs.record.job import now
from jobs.record.states import Priority
from jobs.redis.address import Sentinels, broker_of
from jobs.redis.changes import Changes
from jobs.redis.client import connect
from jobs.redis.queue import DELIVER, DELIVER_TASK, JobQueue, celery_app
from jobs.redis.task_ids import QueueMessage
from jobs.redis.view import View
from jobs.store.audit import Audit, AuditEntry
from jobs.store.compatibility import Compatibility
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.records import Records
from stack.addresses import HOST, free_ports
from stack.part import ROOT
from stack.parts import _packaged_valkey
from tests.conftest import SIGNING_KEY, a_job
from tests.jobs.redis.relay import Relay
from tests.proxies import make_certificate
from worker.sweeper.reconcile import reconcile
from worker.sweeper.sweep import Sweeper, sweep

PASSWORD = "a-password"  # pragma: allowlist secret
SECONDS = 120
(RIGHTS,) = re.findall(
    r"^user osteo on >PASSWORD (.+)$", (ROOT / "docs/operate.md").read_text(), re.MULTILINE
)
"""The rights that the page gives to the user of the service."""


@dataclass
class Server:
    """A Redis of one test."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@{HOST}:{self.port}/0"

    @property
    def client(self) -> Redis:
        return Redis.from_url(self.url)


def await_that(condition: Callable[[], object]) -> None:
    """Return when the condition is true. It is not while a server does not answer."""
    deadline = time.monotonic() + SECONDS
    while True:
        with suppress(RedisError, OperationalError, QueueUnavailable):
            if condition():
                return
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.05)


def answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers, or sentinels."""
    program = shutil.which("redis-server") or _packaged_valkey()
    with ExitStack() as ending:

        def begin(*lines: str, sentinel: bool = False) -> Server:
            (port,) = free_ports(1)
            file = tmp_path / f"{port}.conf"
            folder = tmp_path / f"data-{port}"
            folder.mkdir()
            login = [] if sentinel else [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}"]
            text = [f"bind {HOST}", f"port {port}", f"dir {folder}", *login, *lines]
            file.write_text("\n".join(text) + "\n")
            arguments = [program, str(file), *(["--sentinel"] if sentinel else [])]
            log = (tmp_path / f"{port}.log").open("wb")
            server = Server(port, subprocess.Popen(arguments, stdout=log, stderr=log))
            ending.callback(server.process.wait)
            ending.callback(server.process.kill)
            await_that(lambda: answers(server.client if not sentinel else Redis(port=port)))
            return server

        yield begin


def run_worker(settings_s3: dict[str, str], redis_url: str, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as out:
        return subprocess.Popen(
            (sys.executable, "-m", "worker", "delivery"),
            cwd=ROOT,
            env=os.environ | settings_s3 | {"OSTEO_SIGNING_KEY": SIGNING_KEY, "REDIS_URL": redis_url},
            stdout=out,
            stderr=out,
        )


@pytest.fixture
def s3(settings) -> dict[str, str]:
    Objects.connect(settings.s3_endpoint_url, settings.s3_bucket).make_bucket()
    return {"S3_ENDPOINT_URL": settings.s3_endpoint_url, "S3_BUCKET": settings.s3_bucket}


def test_a_worker_waits_for_a_redis_that_is_demoted_and_goes_on(start, s3, tmp_path):
    log = tmp_path / "worker.log"
    other, server = start(), start()
    worker = run_worker(s3, server.url, log)
    try:
        beats = View.connect(server.url, 60).heartbeats
        await_that(lambda: beats.alive("delivery:"))
        server.client.replicaof(HOST, other.port)
        await_that(lambda: "Trying to re-establish" in log.read_text())
        server.client.replicaof("NO", "ONE")
        server.client.flushall()
        app = celery_app(server.url)
        await_that(lambda: app.control.ping(timeout=1))
        await_that(lambda: beats.alive("delivery:"))
        assert worker.poll() is None
    finally:
        worker.terminate()
        worker.wait()


def test_a_worker_leaves_a_connection_that_nothing_comes_from(start, s3, tmp_path):
    server = start()
    with Relay(server.port) as relay:
        url = server.url.replace(str(server.port), str(relay.port))
        worker = run_worker(s3, url, tmp_path / "worker.log")
        try:
            await_that(lambda: server.client.info("clients")["blocked_clients"])
            relay.forget()
            # Redis itself still waits on the old connection, and would send the message there.
            await_that(lambda: not server.client.info("clients")["blocked_clients"])
            celery_app(server.url).send_task(DELIVER_TASK, args=["job_1"], queue=DELIVER)
            await_that(lambda: not server.client.llen(DELIVER))
        finally:
            worker.terminate()
            worker.wait()


def test_a_subscription_that_nothing_comes_from_begins_anew(start):
    server = start()
    with Relay(server.port) as relay:
        changes = Changes.connect(server.url.replace(str(server.port), str(relay.port)))
        with changes.watched("job_1") as changed:
            await_that(changed.is_set)  # All are woken when it begins.
            changed.clear()
            relay.forget()
            await_that(changed.is_set)
        changes.stop()


def test_a_write_to_a_replica_raises_and_its_connections_are_renewed(start):
    other, server = start(), start()
    view = View.connect(server.url, 60)
    view.check()
    server.client.replicaof(HOST, other.port)
    with pytest.raises(QueueAway, match="is a replica"):
        view.check()
    server.client.replicaof("NO", "ONE")
    view.check()


def test_sentinels_lead_to_the_master_and_after_a_failover_to_the_next(start, s3, settings, tmp_path):
    first = start("repl-diskless-sync-delay 0")
    second = start(f"replicaof {HOST} {first.port}")
    await_that(lambda: second.client.info("replication")["master_link_status"] == "up")
    sentinels = [
        start(
            f"sentinel monitor osteo {HOST} {first.port} 1",
            f"sentinel auth-pass osteo {PASSWORD}",
            "sentinel down-after-milliseconds osteo 500",
            "sentinel failover-timeout osteo 2000",
            sentinel=True,
        )
    ]
    hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in sentinels)
    url = f"sentinel://:{PASSWORD}@{hosts}/0?master=osteo"
    worker = run_worker(s3, url, tmp_path / "worker.log")
    try:
        beats = View.connect(first.url, 60).heartbeats
        await_that(lambda: beats.alive("delivery:"))
        queue, redis = JobQueue.connect(url), connect(url)
        sent = a_job()
        queue.send(Priority.ROUTINE, [QueueMessage(sent.id, f"{sent.id}-1")])
        assert first.client.llen("infer.routine") == 1
        await_that(lambda: Redis(port=sentinels[0].port).sentinel_slaves("osteo"))
        first.process.kill()
        first.process.wait()
        await_that(lambda: second.client.info("replication")["role"] == "master")
        later = View.connect(second.url, 60).heartbeats
        await_that(lambda: any(True for _ in later.alive("delivery:")))
        await_that(lambda: celery_app(url).control.ping(timeout=1))
        assert worker.poll() is None
        objects = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
        await_that(lambda: answers(redis))
        Compatibility(Records(objects, redis), redis, SIGNING_KEY).check()
    finally:
        worker.terminate()
        worker.wait()


def test_an_address_of_sentinels_is_read_for_redis_py_and_for_celery():
    url = "sentinel://u:p%40ss@a,b:26380/2?master=osteo&sentinel_password=s"  # pragma: allowlist secret
    read = Sentinels.of(url)
    assert read
    assert read.hosts == (("a", 26379), ("b", 26380))
    login = {"username": "u", "password": "p@ss"}  # pragma: allowlist secret
    assert (read.master, read.db, read.login) == ("osteo", 2, login)
    broker, options, tls = broker_of(url)
    login = "u:p%40ss"
    assert broker.split(";") == [f"sentinel://{login}@{host}/2" for host in ("a:26379", "b:26380")]
    assert options["master_name"] == "osteo"
    assert options["sentinel_kwargs"]["credential_provider"].get_credentials() == ("s",)
    assert (tls, "ssl" in options["sentinel_kwargs"]) == ({}, False)
    assert broker_of("rediss://h:1/0")[0] == "rediss://h:1/0?ssl_cert_reqs=required"
    for wrong in ("sentinel://a/0", "sentinels://a/0", "sentinel://a/0?master=m&ssl_ca_certs=/ca.pem"):
        with pytest.raises(ValueError, match="master=NAME"):
            Sentinels.of(wrong)


def test_an_address_with_tls_speaks_it_to_the_sentinels_and_to_redis():
    files = {"ssl_ca_certs": "/ca.pem", "ssl_certfile": "/c.pem", "ssl_keyfile": "/k.pem"}
    url = "sentinels://:p@a/0?master=osteo&" + "&".join(f"{name}={file}" for name, file in files.items())
    verified = {"ssl_cert_reqs": "required", **files}
    broker, options, tls = broker_of(url)
    assert (broker, tls) == ("sentinel://:p@a:26379/0", verified)
    assert options["sentinel_kwargs"].items() >= {"ssl": True, **verified}.items()
    pool = connect(url).connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    (sentinel,) = pool.sentinel_manager.sentinels
    for one in (pool, sentinel.connection_pool):
        assert issubclass(one.connection_class, SSLConnection)
        assert one.connection_kwargs.items() >= verified.items()


def test_a_script_that_its_user_may_not_run_names_the_user(start):
    server = start("user narrow on >p ~* &* +@all -@dangerous")
    view = View.connect(f"redis://narrow:p@{HOST}:{server.port}/0", 60)
    with pytest.raises(QueueAway, match="the user 'narrow' of REDIS_URL too few rights"):
        view.lock_version("job_1", 1, "token")


@dataclass
class Tls:
    """A proxy that terminates TLS for a Redis, and the files of its CA."""

    port: int
    certificate: Path


@pytest.fixture
def tls(start, tmp_path: Path) -> Iterator[tuple[Tls, Server]]:
    server = start("appendonly yes", f"user osteo on >osteo-password {RIGHTS}")
    make_certificate(tmp_path, "localhost", HOST)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server((HOST, 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with suppress(OSError):
            inner = context.wrap_socket(plain, server_side=True)
            outer = socket.create_connection((HOST, server.port))
            Thread(target=pump, args=(inner, outer), daemon=True).start()
            pump(outer, inner)

    def accept() -> None:
        with suppress(OSError):
            while True:
                Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    Thread(target=accept, daemon=True).start()
    yield Tls(listener.getsockname()[1], certificate), server
    listener.close()


def test_redis_is_reached_by_tls_as_a_user_with_the_rights_of_the_page(tls, s3, settings, tmp_path):
    proxy, server = tls
    login = "osteo:osteo-password"
    url = f"rediss://{login}@localhost:{proxy.port}/0?ssl_ca_certs={proxy.certificate}"
    worker = run_worker(s3, url, tmp_path / "worker.log")
    try:
        beats = View.connect(server.url, 60).heartbeats
        await_that(lambda: beats.alive("delivery:"))
        await_that(lambda: celery_app(url).control.ping(timeout=1))
        # The commands of the other roles: jobs and their queues, and the rounds of the sweeper.
        objects = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
        ledger, queue = Ledger(objects, View.connect(url, 60)), JobQueue.connect(url)
        job = a_job(callback_url="https://clinic.example/hook")
        ledger.accept(job, b"image")
        queue.feed(job.client, job.priority)
        sweeper = Sweeper(ledger, queue, 3, timedelta(seconds=300))
        sweep(sweeper)
        reconcile(sweeper)
        ended = ledger.append(ledger.append(job.started("w", now())).succeeded({}, now()))
        queue.feed_deliveries(ended.client)
        ledger.append_only_file.count_erasure()
        ledger.append_only_file.rewrite(1)
        Audit(objects, ledger.view.redis).record(AuditEntry("clinic", "getJob"))
        Audit(objects, ledger.view.redis).carry_over()
        changes = Changes.connect(url)
        with changes.watched(job.id) as changed:
            assert not changed.is_set()
        changes.stop()
    finally:
        worker.terminate()
        worker.wait()


EACH = """
import contextlib, io, json, os, sys
from worker.__main__ import main
sys.argv[1:] = ["delivery"]
for url in sys.stdin.read().splitlines():
    os.environ["REDIS_URL"] = url
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = main()
    print(json.dumps([status, said.getvalue()]))
"""
"""Runs a worker for each address in one process, as each would import the same packages."""


def test_a_process_that_redis_refuses_names_the_reason_and_ends(tls, s3, tmp_path):
    proxy, server = tls
    server.client.acl_setuser("narrow", enabled=True, passwords=["+p"], categories=["-@all"])
    tried = {
        f"redis://:wrong@{HOST}:{server.port}/0": "refuses the user or password",
        f"redis://{HOST}:{server.port}/0": "refuses the user or password",
        f"redis://narrow:p@{HOST}:{server.port}/0": "too few rights",
        f"rediss://:{PASSWORD}@localhost:{proxy.port}/0": "certificate of Redis is not trusted",
        f"rediss://:{PASSWORD}@localhost:{proxy.port}/0?ssl_ca_certs=/no/such": "ssl_ca_certs, is not there",
        "sentinel://a/0": "is no address of Redis",
        "http://a/0": "is no address of Redis",
    }
    environment = os.environ | s3 | {"OSTEO_SIGNING_KEY": SIGNING_KEY}
    done = subprocess.run(
        (sys.executable, "-c", EACH),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        input="\n".join(tried),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for (url, reason), line in zip(tried.items(), done.stdout.splitlines(), strict=True):
        status, said = json.loads(line)
        assert status == 2, url
        assert reason in said, url
    log = tmp_path / "worker.log"
    url, reason = next(iter(tried.items()))
    assert run_worker(s3, url, log).wait(SECONDS) == 2
    assert reason in log.read_text()
    assert "Traceback" not in log.read_text()


def test_the_api_and_the_commands_report_a_wrong_password(start, s3, tmp_path):
    url = f"redis://:wrong@{HOST}:{start().port}/0"
    for module in (("gunicorn", "--config", "api/gunicorn.conf.py"), ("admin.keys", "list")):
        done = subprocess.run(
            (sys.executable, "-m", *module),
            cwd=ROOT,
            env=os.environ | s3 | {"OSTEO_SIGNING_KEY": SIGNING_KEY, "REDIS_URL": url},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 2, module
        assert "refuses the user or password in REDIS_URL" in done.stderr
        assert "Traceback" not in done.stderr
