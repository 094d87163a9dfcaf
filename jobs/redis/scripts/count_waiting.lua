-- Counts the waiting jobs of some priorities: of all clients, and of one.
-- ARGV  1 client
--       2 the first of the priorities; each further argument is another one
-- Returns the number of all clients, that of the one, and since when its first waits (seconds since the epoch), or ''.
local client, all, own, since = ARGV[1], 0, 0, nil
for n = 2, #ARGV do
  local queue = 'line:' .. ARGV[n] .. ':' .. client
  all = all + redis.call('ZCARD', 'waiting:' .. ARGV[n])
  own = own + redis.call('ZCARD', queue)
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  if first and (not since or tonumber(first) < tonumber(since)) then since = first end
end
return {all, own, since or ''}
