-- Finds the jobs whose messages have left the queue without a worker having taken the job.
-- KEYS  1 the sent jobs of a priority, by the time of sending
--       2 when the latest message was sent that a worker took
--       3 the queue of this priority at the broker
-- ARGV  1 seconds for which a message may be on its way
-- Returns the ids of the jobs.
local sent, taken, queue = unpack(KEYS)
local now, before = tonumber(redis.call('TIME')[1]), tonumber(redis.call('GET', taken) or 0)
-- A mark in the future is ignored: the clock was set back.
if before > now then before = 0 end
if redis.call('LLEN', queue) == 0 then before = now end
return redis.call('ZRANGEBYSCORE', sent, '-inf', before - ARGV[1])
