-- Lists the processes that live and those whose last beat is too old.
-- KEYS  1 the heartbeats
-- ARGV  1 seconds for which a process lives after its last beat
-- Returns two lists of names: the fresh ones, the old ones.
local since = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
return {
  redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. since, '+inf'),
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', since)
}
