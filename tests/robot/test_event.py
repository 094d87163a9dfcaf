"""What remains of an event's validity."""

import json

from robot.event import verified_targets
from tests.robot.events import an_event


def test_the_validity_that_remains_ends_at_zero():
    event = verified_targets(json.dumps(an_event(valid_s=10)).encode(), None)
    assert event.valid_until_ns is not None
    assert event.remaining_s(event.valid_until_ns - 10**9) == 1
    assert event.remaining_s(event.valid_until_ns + 10**9) == 0
    unknown = verified_targets(json.dumps(an_event(valid_s=None)).encode(), None)
    assert unknown.remaining_s(0) == 0
