-- Gives call slots for a client's callbacks that are due, receiver by receiver, as far as the client has room.
-- A slot is a hash `turn:<id>`; the name of the key is older than the word. Needs lives, slot_is_held,
-- lose_call and messages_left.
-- KEYS  1 the client's slots
--       2 its receivers, by the time at which each is looked at next
--       3 the clients with a delivery queue
--       4 the queue of deliveries at the broker
--       5 the paused receivers
--       6 when the latest slot was given whose message a worker took
-- ARGV  1 client
--       2 the receiver that stands for test events
--       3 now (seconds since the epoch)
--       4 most slots of the client
--       5 most slots of one receiver
--       6 failures in a row after which a receiver has one slot
--       7 seconds for which a message may be on its way
--       8 seconds for which a process lives after its last beat
-- Returns two texts for each that got a slot: its id, and the id of its next task, '' for a test event.
local slots, receivers, clients, queue, paused, taken = unpack(KEYS)
local client, probes = ARGV[1], ARGV[2]
local now, free, most, failures, grace, beat = unpack(ARGV, 3)
now, free, most, failures = tonumber(now), tonumber(free), tonumber(most), tonumber(failures)
local time, left = redis.call('TIME'), messages_left(queue, taken)
local calls = {}
for _, item in ipairs(redis.call('SMEMBERS', slots)) do
  local slot = 'turn:' .. item
  local origin, given, holder, till = unpack(redis.call('HMGET', slot, 'origin', 'given', 'holder', 'till'))
  local waits = not holder and tonumber(given or 0) > left - grace
  if waits or holder and slot_is_held(holder, till, now, beat) then
    calls[origin], free = (calls[origin] or 0) + 1, free - 1
  else
    redis.call('SREM', slots, item)
    redis.call('DEL', slot)
    if holder then lose_call(item) end
  end
end
-- Receivers that get a slot join the others anew, in this order, before what is due only later.
local chosen, busy, last, horizon = {}, 0, now, now + 0.001
while free > 0 do
  local origin = redis.call('ZRANGEBYSCORE', receivers, '-inf', horizon, 'LIMIT', busy, 1)[1]
  if not origin then break end
  local deliveries, name = 'callbacks:' .. client .. ':' .. origin, client .. ' ' .. origin
  local ends = tonumber(redis.call('ZSCORE', paused, name) or 0)
  -- A receiver that has failed is tried by one call.
  local alone = origin == probes or tonumber(redis.call('GET', 'failures:' .. name) or 0) >= failures
  local used = calls[origin] or 0
  local room, item = used < (alone and 1 or most), nil
  if ends <= now and room then
    for _, due in ipairs(redis.call('ZRANGEBYSCORE', deliveries, '-inf', now, 'LIMIT', 0, used + 1)) do
      if redis.call('EXISTS', 'turn:' .. due) == 0 then item = item or due end
    end
  end
  if item then
    redis.call('HSET', 'turn:' .. item, 'client', client, 'origin', origin, 'given', time[1] + time[2] / 1000000)
    redis.call('SADD', slots, item)
    last = last + 0.000001
    redis.call('ZADD', receivers, last, origin)
    calls[origin], free = used + 1, free - 1
    chosen[#chosen + 1] = item
    chosen[#chosen + 1] = redis.call('HGET', 'job:' .. item, 'task') or ''
  else
    local first = redis.call('ZRANGE', deliveries, 0, 0, 'WITHSCORES')[2]
    local later = first and math.max(tonumber(first), ends)
    if not first then redis.call('ZREM', receivers, origin)
    elseif later > horizon then redis.call('ZADD', receivers, later, origin)
    else busy = busy + 1 end
  end
end
-- When to look again: a slot may be lost, and a receiver is due later.
local later = redis.call('ZRANGEBYSCORE', receivers, '(' .. horizon, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local open = redis.call('EXISTS', slots) == 1 or redis.call('ZCOUNT', receivers, '-inf', horizon) > 0
local at = open and math.min(now + grace, later or math.huge) or later
if at then redis.call('ZADD', clients, at, client) else redis.call('ZREM', clients, client) end
return chosen
