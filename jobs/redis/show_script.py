"""The script by which the view shows a version of a job, and all that follows from it, in one step."""

PUT_IF_NEWER = """
local job, waiting, line, sent, lines, drained, counts, callbacks, receivers, clients = unpack(KEYS)
local id, version, record, seconds, since, client, state, final, delivery, origin, due = unpack(ARGV)
local priority, check_at, runner, study = unpack(ARGV, 12)
local old, was, owed, called, by = unpack(
  redis.call('HMGET', job, 'version', 'state', 'delivery', 'origin', 'runner')
)
if old and tonumber(old) >= tonumber(version) then return 0 end
redis.call('HSET', job, 'version', version, 'record', record, 'state', state, 'delivery', delivery)
redis.call('HSET', job, 'origin', origin, 'runner', runner)
-- A tombstone does not name its study, which has to hear of it.
if study ~= '' then redis.call('HSET', job, 'study', study) end
redis.call('ZADD', 'agenda', check_at, id)
if by and by ~= '' then redis.call('SREM', 'held:' .. by, id) end
if runner ~= '' then
  redis.call('SADD', 'held:' .. runner, id)
  -- After a wipe it has to beat anew, or is missing.
  redis.call('ZADD', 'alive', 'NX', 0, runner)
end
redis.call('PUBLISH', 'changes', id)
if old and was ~= state then
  if final == '1' then redis.call('HINCRBY', counts, 'ended:' .. state, 1) end
  if was == 'running' and state == 'queued' then redis.call('HINCRBY', counts, 'lost', 1) end
end
if owed == 'pending' and delivery ~= owed then redis.call('HINCRBY', counts, 'delivery:' .. delivery, 1) end
redis.call('EXPIRE', job, seconds)
local unfed, all_sent = 'unfed:' .. priority, 'sent:' .. priority
local at = redis.call('ZSCORE', all_sent, id)
local again = redis.call('SREM', 'resent:' .. priority, id) == 1
if at then
  redis.call('ZREM', all_sent, id)
  redis.call('SREM', sent, id)
  redis.call('SADD', unfed, client)
  -- Messages leave the queue in order: all that were sent before this one have left it, too.
  local taken = 'taken:' .. priority
  if state == 'running' and not again and tonumber(at) > tonumber(redis.call('GET', taken) or 0) then
    redis.call('SET', taken, at)
  end
end
if since ~= '' then
  redis.call('ZADD', waiting, since, id)
  redis.call('ZADD', line, since, id)
  redis.call('SADD', lines, client)
  redis.call('SADD', unfed, client)
elseif redis.call('ZREM', waiting, id) == 1 then
  redis.call('ZREM', line, id)
  if redis.call('EXISTS', line) == 0 then redis.call('SREM', lines, client) end
  redis.call('INCR', drained)
  redis.call('EXPIRE', drained, 300)
end
if due ~= '' then
  redis.call('ZADD', callbacks, due, id)
  redis.call('ZADD', receivers, 'LT', due, origin)
  redis.call('ZADD', clients, 'LT', due, client)
elseif called then redis.call('ZREM', 'callbacks:' .. client .. ':' .. called, id) end
return 1
"""
