-- Gives a lock back, if the caller still has it.
-- KEYS  1 the lock
-- ARGV  1 token of the holder
-- Returns nothing.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
