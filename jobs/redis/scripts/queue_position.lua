-- Estimates how many jobs go before a waiting one: `stat` goes first, `archive` last, and the clients take turns.
-- ARGV  1 priority
--       2 client
--       3 id of the job
-- Returns the number of jobs; -1 if the job does not wait.
local priority, client, id = unpack(ARGV)
local own = redis.call('ZRANK', 'line:' .. priority .. ':' .. client, id)
if not own then return -1 end
local before = own
for _, other in ipairs(redis.call('SMEMBERS', 'lines:' .. priority)) do
  if other ~= client then
    before = before + math.min(own + 1, redis.call('ZCARD', 'line:' .. priority .. ':' .. other))
  end
end
if priority ~= 'stat' then before = before + redis.call('ZCARD', 'waiting:stat') end
if priority == 'archive' then before = before + redis.call('ZCARD', 'waiting:routine') end
return before
