-- Chooses the jobs of a client's queue that are sent to workers now, as far as its window has room.
-- KEYS  1 the client's queue
--       2 its window: those of its jobs that were sent
--       3 the sent jobs of this priority, of all clients, by the time of sending
--       4 the clients whose queues have changed since they were last asked for
-- ARGV  1 size of the window
--       2 client
-- Returns the ids of the jobs, oldest first. Each is returned once.
local queue, window, sent, unfed = unpack(KEYS)
local size, client, time = tonumber(ARGV[1]), ARGV[2], redis.call('TIME')
redis.call('SREM', unfed, client)
local free, chosen = size - redis.call('SCARD', window), {}
for _, id in ipairs(redis.call('ZRANGE', queue, 0, size - 1)) do
  if free <= 0 then break end
  if redis.call('SADD', window, id) == 1 then
    redis.call('ZADD', sent, time[1] + time[2] / 1000000, id)
    chosen[#chosen + 1] = id
    free = free - 1
  end
end
return chosen
