-- Function for other scripts: returns the time before which every message that was sent has left the broker's `queue`.
-- Messages leave it in order. `taken`: when the latest message was sent that a worker took.
local function messages_left(queue, taken)
  local time = redis.call('TIME')
  local now, left = time[1] + time[2] / 1000000, tonumber(redis.call('GET', taken) or 0)
  if redis.call('LLEN', queue) == 0 then return now end
  -- A mark in the future is ignored: the clock was set back.
  return left > now and 0 or left
end
