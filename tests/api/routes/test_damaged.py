"""Submits damaged radiographs over HTTP: each is accepted, or refused with a problem."""

from itertools import islice

from tests.api.conftest import Api, problem_of
from tests.fuzz import damaged

SENT = 150


def test_a_damaged_file_is_accepted_or_refused_with_a_problem(api: Api):
    seen = set()
    for number, data in enumerate(islice(damaged(seed=2), SENT)):
        answer = api.submit(data) if number % 2 else api.request("POST", "/v1/jobs", body=data)
        seen.add(answer.status)
        if answer.status != 202:
            assert answer.status in (400, 413, 415, 422), (number, answer.data)
            assert problem_of(answer)
    assert {202, 415, 422} <= seen
