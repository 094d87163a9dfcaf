-- Function for other scripts: returns the id that this Redis took at its start, which tells one server from another.
local function server_id() return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') end
