-- Records that a process lives, by the clock of Redis.
-- KEYS  1 the heartbeats
-- ARGV  1 name of the process
-- Returns 1 for a new process, 0 for a known one.
return redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])
