-- Function for other scripts: returns whether this Redis knows every write lock that may be held, and every version
-- that was tried. It may not after a wipe, a restart or a failover. Needs server_id.
-- `memory`: the key that holds which server this is, and since when it knows them.
local function knows_locks(memory)
  local server, now = server_id(), redis.call('TIME')[1]
  local known, since = unpack(redis.call('HMGET', memory, 'server', 'since'))
  if known ~= server then
    since = now
    redis.call('HSET', memory, 'server', server, 'since', since)
  end
  -- Longer than a lock lasts (LOCK_SECONDS of jobs.redis.view) and a write takes (WRITE_SECONDS) together.
  return now - since >= 40
end
