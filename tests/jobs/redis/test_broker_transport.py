from jobs.redis.queue import celery_app


def test_a_channel_keeps_its_client_until_its_connections_are_lost(settings):
    with celery_app(settings.redis_url).connection_for_write() as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
            assert first.ping()
        channel._disconnect_pools()
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.ping()
