"""A job's model is written into its record at acceptance, and a repeated submission keeps it."""

from collections.abc import Iterator

import pytest

from jobs.models.roll_out import RollOut, RollOuts
from tests import pictures
from tests.api.conftest import Api, serving

PNG = pictures.encoded(pictures.gray())
CANARY = "c" * 64


@pytest.fixture(scope="module")
def looking(servers, tmp_path_factory) -> Iterator[Api]:
    """An API whose processes look for another model ten times a second."""
    with serving(servers, tmp_path_factory.mktemp("canary"), processes=2, model_seconds=0.1) as (api, _):
        api.redis.flushall()
        yield api


@pytest.fixture
def roll_outs(looking) -> Iterator[tuple[Api, RollOuts]]:
    roll_outs = RollOuts(looking.records)
    yield looking, roll_outs
    roll_outs.change(RollOut.rolled_back)


def submitted(api: Api, key: str) -> str:
    fields = {"image": ("x.png", PNG)}
    answer = api.request("POST", "/v1/jobs", headers={"Idempotency-Key": key}, fields=fields)
    assert answer.status in (200, 202), answer.data
    job_id: str = answer.json()["id"]
    return job_id


def test_a_repeated_submission_keeps_the_model_of_its_share(roll_outs):
    api, record = roll_outs
    assert api.ledger.read(submitted(api, "before")).model is None
    present = record.change(lambda now: now.with_canary(CANARY, 50))
    keys = {}
    # Each process of the API looks for itself: until both have, some jobs have no canary.
    while len({api.ledger.read(job_id).model for job_id in keys.values()}) < 2:
        key = f"key-{len(keys)}"
        keys[key] = submitted(api, key)
    models = {key: api.ledger.read(job_id).model for key, job_id in keys.items()}
    for key, model in models.items():
        assert model in (None, present.assigned(keys[key]))
    record.change(lambda now: now.with_canary(CANARY, 0))
    for key, job_id in keys.items():
        assert submitted(api, key) == job_id
        assert api.ledger.read(job_id).model == models[key]


def test_all_views_of_a_study_have_one_model(roll_outs):
    api, record = roll_outs
    record.change(lambda now: now.with_canary(CANARY, 50))
    views, models = [("image", (f"{n}.png", PNG)) for n in range(4)], set()
    # Each process of the API looks for itself: until both have, some studies have no canary.
    while len(models) < 2:
        answer = api.request("POST", "/v1/studies", fields=views)
        assert answer.status == 202, answer.data
        members = api.ledger.read(answer.json()["id"]).members
        assert len(members) == 4
        (model,) = {api.ledger.read(member).model for member in members}
        models.add(model)
    assert models == {None, CANARY}
