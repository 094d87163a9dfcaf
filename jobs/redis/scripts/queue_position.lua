-- Function for other scripts: returns about how many jobs go before a waiting one, or -1 if it does not wait.
-- `stat` goes first, `archive` last, and the clients take turns.
local function queue_position(priority, client, id)
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
end
