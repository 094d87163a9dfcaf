-- Function for other scripts: returns nothing; marks that a worker has taken a message that was sent at this time, unless
-- one that was sent later has been taken. `taken` is the mark. One in the future was set before the clock was set back.
local function mark_taken(taken, sent_at)
  local mark = tonumber(redis.call('GET', taken) or 0)
  local future = mark > tonumber(redis.call('TIME')[1]) + 1
  if future or tonumber(sent_at) > mark then redis.call('SET', taken, sent_at) end
end
