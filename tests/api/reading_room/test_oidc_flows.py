"""A sign-in by OpenID Connect is used once."""

import pytest

from api.identity.oidc_flows import Flows
from tests.jobs.redis.lost_answers import lose_answers


@pytest.mark.parametrize("lost", [0, 1])
def test_a_sign_in_is_used_once_also_where_an_answer_of_redis_was_lost(ledger, monkeypatch, lost: int):
    flows = Flows("a signing key", ledger.view.redis)
    flow, cookie = flows.begin("/")
    lose_answers(monkeypatch, "oidc:", lost)
    assert flows.take(cookie, flow.state) == flow
    assert flows.take(cookie, flow.state) is None
