-- Function for other scripts: returns the jobs of a client's queue to send to workers now, as far as its window has
-- room. For each job, oldest first, there are two texts: its id, and the id of its next task. Each is returned once.
-- `window`: those of the client's jobs that were sent. `sent`: those of this priority, of all clients, by the time of
-- sending. `unfed`: the clients whose queues have changed since they were last asked for.
local function choose_jobs(queue, window, sent, unfed, size, client)
  local time = redis.call('TIME')
  redis.call('SREM', unfed, client)
  local free, chosen = size - redis.call('SCARD', window), {}
  for _, id in ipairs(redis.call('ZRANGE', queue, 0, size - 1)) do
    if free <= 0 then break end
    if redis.call('SADD', window, id) == 1 then
      redis.call('ZADD', sent, time[1] + time[2] / 1000000, id)
      chosen[#chosen + 1] = id
      chosen[#chosen + 1] = redis.call('HGET', 'job:' .. id, 'task') or ''
      free = free - 1
    end
  end
  return chosen
end
