-- Finds the jobs whose messages have left the queue without a worker having taken the job. Needs messages_left.
-- KEYS  1 the sent jobs of a priority, by the time of sending
--       2 when the latest message was sent that a worker took
--       3 the queue of this priority at the broker
-- ARGV  1 seconds for which a message may be on its way
-- Returns the ids of the jobs.
local sent, taken, queue = unpack(KEYS)
return redis.call('ZRANGEBYSCORE', sent, '-inf', messages_left(queue, taken) - ARGV[1])
