-- Tells whether the agenda may lack jobs: after a wipe, a restart or a failover of Redis, or long after the last pass.
-- Needs server_id.
-- KEYS  1 the record of the last complete pass
-- ARGV  1 seconds after which a pass is too old
-- Returns 1 if the agenda may lack jobs, 0 otherwise.
local known, at = unpack(redis.call('HMGET', KEYS[1], 'server', 'at'))
if known ~= server_id() then return 1 end
return redis.call('TIME')[1] - at >= tonumber(ARGV[1]) and 1 or 0
