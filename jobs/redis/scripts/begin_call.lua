-- Lets a worker hold a call slot, unless another holds it or the receiver is paused. The token that holds the slot
-- gets it again, because the first answer may be lost. Needs lives, slot_is_held, lose_call, server_id,
-- knows_locks and mark_taken.
-- KEYS  1 the slot
--       2 the paused receivers
--       3 the job in the view, for a slot of a job
--       4 since when this Redis knows all write locks
--       5 when the latest slot was given whose message a worker took
-- ARGV  1 id of what the slot is for
--       2 token of the holder: name of its process, a slash, a random text
--       3 now (seconds since the epoch)
--       4 time until which it holds the slot at most
--       5 seconds for which a process lives after its last beat
-- Returns client, origin, and the job's version, or '' where there may be a later one, or where the outcome of a
-- call for it was lost; false if the worker must not call.
local slot, paused, job, memory, taken = unpack(KEYS)
local item, token, now, till, beat = unpack(ARGV)
local client, origin, given, holder, held_till = unpack(
  redis.call('HMGET', slot, 'client', 'origin', 'given', 'holder', 'till')
)
local other = holder and holder ~= token
if not client or other and slot_is_held(holder, held_till, tonumber(now), beat) then return false end
if other then lose_call(item) end
if tonumber(redis.call('ZSCORE', paused, client .. ' ' .. origin) or 0) > tonumber(now) then
  redis.call('SREM', 'turns:' .. client, item)
  redis.call('DEL', slot)
  return false
end
redis.call('HSET', slot, 'holder', token, 'till', till)
mark_taken(taken, given)
local version, tried, lost = unpack(redis.call('HMGET', job, 'version', 'tried', 'lost_call'))
local latest = version and tonumber(tried or 0) <= tonumber(version) and knows_locks(memory)
return {client, origin, latest and not lost and version or ''}
