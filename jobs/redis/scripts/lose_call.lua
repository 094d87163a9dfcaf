-- Function for other scripts: returns nothing; it notes in the view that the outcome of a call for `item` is lost.
-- A test event has no entry in the view.
local function lose_call(item)
  local job = 'job:' .. item
  if redis.call('EXISTS', job) == 1 then redis.call('HSET', job, 'lost_call', 1) end
end
