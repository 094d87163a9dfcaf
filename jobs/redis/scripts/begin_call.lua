-- Lets a worker hold a call slot, unless another holds it or the receiver is paused. Needs lives and slot_is_held.
-- KEYS  1 the slot
--       2 the paused receivers
-- ARGV  1 id of what the slot is for
--       2 token of the holder: name of its process, a slash, a random text
--       3 now (seconds since the epoch)
--       4 time until which it holds the slot at most
--       5 seconds for which a process lives after its last beat
-- Returns client and origin; false if the worker must not call.
local slot, paused = unpack(KEYS)
local item, token, now, till, beat = unpack(ARGV)
local client, origin, holder, held_till = unpack(redis.call('HMGET', slot, 'client', 'origin', 'holder', 'till'))
if not client or holder and slot_is_held(holder, held_till, tonumber(now), beat) then return false end
if tonumber(redis.call('ZSCORE', paused, client .. ' ' .. origin) or 0) > tonumber(now) then
  redis.call('SREM', 'turns:' .. client, item)
  redis.call('DEL', slot)
  return false
end
redis.call('HSET', slot, 'holder', token, 'till', till)
return {client, origin}
