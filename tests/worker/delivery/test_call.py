from datetime import timedelta

import pytest

from worker.delivery.call import _retry_after


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("12", timedelta(seconds=12)),
        ("0", timedelta(0)),
        ("86400", timedelta(hours=1)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", timedelta(0)),
        ("Wed, 21 Oct 2099 07:28:00 GMT", timedelta(hours=1)),
        (None, None),
        ("", None),
        ("-3", None),
        ("soon", None),
        ("9" * 5000, None),
        ("Wed, 21 Oct 999999999 07:28:00 GMT", None),
    ],
    ids=lambda value: str(value)[:32],
)
def test_retry_after_is_a_pause_of_an_hour_at_most_or_is_ignored(text: str | None, pause: timedelta | None):
    assert _retry_after(text) == pause
