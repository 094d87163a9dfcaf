-- Counts a call of a receiver, and pauses the receiver after a number of failures in a row.
-- KEYS  1 the receiver's failures
--       2 the paused receivers
-- ARGV  1 name of the receiver: client, a space, origin
--       2 whether it answered: 1 or 0
--       3 now (seconds since the epoch)
--       4 failures in a row that pause it
--       5 seconds of the pause
-- Returns nothing.
local failures, paused = unpack(KEYS)
local name, answered, now, most, pause = unpack(ARGV)
redis.call('ZREMRANGEBYSCORE', paused, '-inf', now)
if answered == '1' then
  redis.call('DEL', failures)
  redis.call('ZREM', paused, name)
else
  if redis.call('INCR', failures) >= tonumber(most) then redis.call('ZADD', paused, now + pause, name) end
  redis.call('EXPIRE', failures, 86400)
end
