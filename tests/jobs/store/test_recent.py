from jobs.store.recent import Recent


def test_a_value_is_read_once_while_it_is_remembered():
    recent, reads = Recent[str](60), []
    for _ in range(2):
        assert recent.get("key", lambda: reads.append(1) or "value") == "value"
    assert len(reads) == 1


def test_a_value_that_was_put_is_not_read():
    recent = Recent[str](60)
    recent.put("key", "new")
    assert recent.get("key", lambda: "old") == "new"


def test_without_seconds_every_value_is_read_anew():
    recent = Recent[str](0)
    recent.put("key", "old")
    assert recent.get("key", lambda: "new") == "new"
