from jobs.redis.heartbeats import HEARTBEAT_SECONDS, HEARTBEATS


def test_a_process_lives_until_its_last_heartbeat_is_too_old(ledger, redis):
    heartbeats = ledger.view.heartbeats
    heartbeats.beat("inference:a:1")
    heartbeats.beat("delivery:a:2")
    assert heartbeats.alive("inference:") == {"inference:a:1"}
    redis.zadd(HEARTBEATS, {"inference:a:1": redis.time()[0] - HEARTBEAT_SECONDS - 1})
    assert (heartbeats.alive(), heartbeats.missing()) == ({"delivery:a:2"}, {"inference:a:1"})
    heartbeats.forget("inference:a:1")
    assert heartbeats.missing() == set()


def test_a_heartbeat_survives_no_wipe_of_redis(ledger, redis):
    ledger.view.heartbeats.beat("inference:a:1")
    redis.flushall()
    assert ledger.view.heartbeats.alive() == set()
    ledger.view.heartbeats.beat("inference:a:1")
    assert ledger.view.heartbeats.alive() == {"inference:a:1"}
