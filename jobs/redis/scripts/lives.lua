-- Function for other scripts: returns whether the last beat of a process is less than `seconds` old.
local function lives(process, seconds)
  local beat = redis.call('ZSCORE', 'alive', process)
  return beat and tonumber(beat) > tonumber(redis.call('TIME')[1]) - seconds
end
