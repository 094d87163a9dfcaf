"""Two writers of one record at once, 200 times each: what was revoked, rotated or erased stays so."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from api.identity.key import id_of
from api.identity.key_store import Keys
from jobs.record.errors import Conflict, NotStored
from jobs.record.events import EVENTS
from jobs.record.ids import new_id
from jobs.record.job import now
from jobs.redis.client import connect
from jobs.store.claims import Claim, Claims, idempotency_claim_key
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.probes import Probes
from jobs.store.receivers import Receivers
from jobs.store.records import Records
from jobs.store.webhook_settings import Webhooks
from tests.conftest import SIGNING_KEY, a_job

ROUNDS = 80


@pytest.fixture
def writers(settings, ledger: Ledger) -> tuple[Records, Records]:
    """The records as two processes see them, each over connections of its own."""
    first, second = (
        Records(Objects.connect(settings.s3_endpoint_url, settings.s3_bucket), connect(settings.redis_url))
        for _ in range(2)
    )
    return first, second


@pytest.fixture
def both():
    """Run two acts at the same moment; their results, or the Conflict or LookupError that one ended with."""
    barrier = Barrier(2)

    def at_once(act: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return act()
        except (Conflict, LookupError) as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        yield lambda *acts: list(pool.map(at_once, acts))


def test_no_rotation_undoes_a_revocation(writers, both):
    revoker, rotator = (Keys(records, trust_seconds=0) for records in writers)
    for _ in range(ROUNDS):
        key = revoker.create("clinic")
        _, rotated = both(
            lambda key=key: revoker.revoke(id_of(key)),
            lambda key=key: rotator.rotate(id_of(key), timedelta(hours=24)),
        )
        assert revoker.holder_of(key) is None
        if isinstance(rotated, LookupError):
            continue
        assert revoker.holder_of(rotated[0]), "it was rotated before it was revoked"
    made = sum(known.ends_at is None for known, _ in revoker.of_client("clinic"))
    assert made < ROUNDS, "some revocations came first, and left no key behind"


def test_no_key_is_left_of_what_a_revoked_key_makes_meanwhile(writers, both):
    revoker, maker = (Keys(records, trust_seconds=0) for records in writers)
    for number in range(ROUNDS // 5):
        client = f"clinic-{number}"
        leaked = id_of(revoker.create(client))
        child = id_of(maker.create(client, made_by=leaked))
        both(
            lambda leaked=leaked: revoker.revoke(leaked, and_made=True),
            lambda client=client, child=child: maker.create(client, made_by=child),
        )
        assert all(known.ended(now()) for known, _ in revoker.of_client(client))


def test_no_choice_of_events_undoes_a_rotation_of_the_secret(writers, both):
    chooser, rotator = (Webhooks(records, SIGNING_KEY) for records in writers)
    for number in range(1, ROUNDS + 1):
        events = EVENTS[: 1 + number % len(EVENTS)]
        both(
            lambda events=events: chooser.choose("clinic", events),
            lambda: rotator.rotate("clinic", now()),
        )
        stands = chooser.of("clinic")
        assert (stands.generation, stands.events) == (number, events)


def test_no_failure_enables_a_receiver_that_is_gone(writers, both):
    first, second = (Receivers(records) for records in writers)
    for number in range(ROUNDS):
        origin = f"https://clinic-{number}.example"
        seen = first.of("clinic", origin)
        both(
            lambda seen=seen: first.failed(seen, now(), gone=True),
            lambda seen=seen: second.failed(seen, now(), gone=False),
        )
        assert first.of("clinic", origin).disabled_at


def test_no_outcome_brings_an_erased_probe_back(writers, both):
    eraser, probes = writers[0], Probes(writers[1])
    for _ in range(ROUNDS):
        probe_id = probes.create("clinic", "https://clinic.example/hook")
        both(
            lambda probe_id=probe_id: eraser.change(f"clients/clinic/probes/{probe_id}/", lambda _: None),
            lambda probe_id=probe_id: probes.delivered("clinic", probe_id, {"status": 200}),
        )
        with pytest.raises(NotStored):
            probes.read("clinic", probe_id)
    assert not list(eraser.objects.keys("clients/"))


def test_a_name_stands_for_one_job_while_its_last_claim_is_released(writers, both):
    releaser, taker = (Claims(records) for records in writers)
    for number in range(ROUNDS):
        place = idempotency_claim_key("clinic", str(number))
        over = Claim(place, new_id("job"), "payload", now(), now() - timedelta(seconds=1))
        taker.take(over, void=None)
        mine = Claim(place, new_id("job"), "payload", now())
        _, taken = both(
            lambda over=over, place=place: releaser.release(a_job(id=over.job_id, claim=place)),
            lambda mine=mine, over=over: taker.take(mine, void=over),
        )
        stands = taker.read(place)
        assert stands == (None if isinstance(taken, Conflict) else mine)
