-- Shows a version of a job in the view, unless it shows this version or a later one, and updates all that follows.
-- Needs choose_jobs, queue_position and mark_taken.
-- Beside KEYS it writes the agenda, the counts of lost and ended jobs, `held:<runner>`, `unfed:`, `sent:`, `resent:`
-- and `taken:<priority>`, and publishes the id on the channel `changes`.
-- KEYS  1 the job in the view
--       2 the waiting jobs of its priority, of all clients
--       3 its client's queue
--       4 those jobs of the client's queue that were sent to workers
--       5 the clients with a queue of this priority
--       6 how many jobs have left the queues in this span of time
--       7 the counts
--       8 the delivery queue of its receiver
--       9 the receivers of its client
--      10 the clients with a delivery queue
-- ARGV  1 id                  2 version             3 record, as JSON     4 seconds for which the view keeps it
--       5 queued since, or '' 6 client              7 state               8 whether it ended and is counted: 1 or 0
--       9 delivery           10 origin, or ''      11 callback due at, or ''
--      12 priority           13 time of its check  14 runner, or ''      15 study, or ''
--      16 id of its next task at the broker         17 bucket of the time to its answer, or ''
--      18 that time in milliseconds
--      19 size of the client's window, if its next jobs are to be chosen, or ''
-- Times are seconds since the epoch.
-- Returns what queue_position does of the job, and what choose_jobs does; nothing if no jobs are to be chosen, or if
-- this or a later version was shown before.
local job, waiting, queue, sent, clients_waiting, drained, counts, callbacks, receivers, clients = unpack(KEYS)
local id, version, record, seconds, since, client, state, final, delivery, origin, due = unpack(ARGV)
local priority, check_at, runner, study, task, answer, ms, size = unpack(ARGV, 12)
local old, was, owed, called, by = unpack(
  redis.call('HMGET', job, 'version', 'state', 'delivery', 'origin', 'runner')
)
if old and tonumber(old) >= tonumber(version) then return {} end
redis.call('HSET', job, 'version', version, 'record', record, 'state', state, 'delivery', delivery)
redis.call('HSET', job, 'origin', origin, 'runner', runner, 'task', task)
-- A tombstone does not name its study, which has to be checked after it.
if study ~= '' then redis.call('HSET', job, 'study', study) end
redis.call('ZADD', 'agenda', check_at, id)
if by and by ~= '' then redis.call('SREM', 'held:' .. by, id) end
if runner ~= '' then
  redis.call('SADD', 'held:' .. runner, id)
  -- After a wipe the runner has to beat anew, or is missing.
  redis.call('ZADD', 'alive', 'NX', 0, runner)
end
redis.call('PUBLISH', 'changes', id)
if old and was ~= state then
  if final == '1' then redis.call('HINCRBY', counts, 'ended:' .. state, 1) end
  if answer ~= '' then
    redis.call('HINCRBY', counts, 'answer:' .. priority .. ':' .. answer, 1)
    redis.call('HINCRBY', counts, 'answer-ms:' .. priority, ms)
  end
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
  if state == 'running' and not again then mark_taken('taken:' .. priority, at) end
end
if since ~= '' then
  redis.call('ZADD', waiting, since, id)
  redis.call('ZADD', queue, since, id)
  redis.call('SADD', clients_waiting, client)
  redis.call('SADD', unfed, client)
elseif redis.call('ZREM', waiting, id) == 1 then
  redis.call('ZREM', queue, id)
  if redis.call('EXISTS', queue) == 0 then redis.call('SREM', clients_waiting, client) end
  redis.call('INCR', drained)
  redis.call('EXPIRE', drained, 300)
end
if due ~= '' then
  redis.call('ZADD', callbacks, due, id)
  redis.call('ZADD', receivers, 'LT', due, origin)
  redis.call('ZADD', clients, 'LT', due, client)
elseif called then redis.call('ZREM', 'callbacks:' .. client .. ':' .. called, id) end
if size == '' then return {} end
return {queue_position(priority, client, id), choose_jobs(queue, sent, all_sent, unfed, tonumber(size), client)}
