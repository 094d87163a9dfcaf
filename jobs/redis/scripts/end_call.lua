-- Gives a call slot back. A callback that is still due comes again after a pause. Needs lose_call.
-- KEYS  1 the slot
--       2 the client's slots
--       3 the delivery queue
--       4 the job in the view, for a slot of a job
-- ARGV  1 id of what the slot is for
--       2 token of the holder
--       3 now (seconds since the epoch)
--       4 seconds of the pause
--       5 1 if the outcome of its call may be lost, else 0
-- Returns nothing.
local slot, slots, queue, job = unpack(KEYS)
local item, token, now, again, lost = unpack(ARGV)
if redis.call('HGET', slot, 'holder') ~= token then return end
redis.call('DEL', slot)
redis.call('SREM', slots, item)
local due = redis.call('ZSCORE', queue, item)
if due and tonumber(due) <= tonumber(now) then redis.call('ZADD', queue, now + again, item) end
if lost == '1' then lose_call(item) else redis.call('HDEL', job, 'lost_call') end
