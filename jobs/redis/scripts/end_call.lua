-- Gives a call slot back. A callback that is still due comes again after a pause.
-- KEYS  1 the slot
--       2 the client's slots
--       3 the delivery queue
-- ARGV  1 id of what the slot is for
--       2 token of the holder
--       3 now (seconds since the epoch)
--       4 seconds of the pause
-- Returns nothing.
local slot, slots, queue = unpack(KEYS)
local item, token, now, again = unpack(ARGV)
if redis.call('HGET', slot, 'holder') ~= token then return end
redis.call('DEL', slot)
redis.call('SREM', slots, item)
local due = redis.call('ZSCORE', queue, item)
if due and tonumber(due) <= tonumber(now) then redis.call('ZADD', queue, now + again, item) end
