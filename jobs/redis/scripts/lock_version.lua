-- Takes the write lock of one version of one job. Needs server_id and knows_locks.
-- KEYS  1 the lock
--       2 the job in the view
--       3 the memory: which server this is, and since when it knows every lock that it gave
-- ARGV  1 token of the writer: the same for the same record
--       2 seconds until the lock ends by itself
--       3 version
-- Returns 0 if another writer has the lock, 1 if the writer has to check that the version is not there yet,
-- 2 if it may write at once: no writer has tried this version before.
local lock, job, memory = unpack(KEYS)
local token, seconds, version = ARGV[1], ARGV[2], tonumber(ARGV[3])
local holder = redis.call('GET', lock)
if holder and holder ~= token then return 0 end
redis.call('SET', lock, token, 'EX', seconds)
local knows = knows_locks(memory)
local shown, tried = unpack(redis.call('HMGET', job, 'version', 'tried'))
if not shown then return 1 end
if tonumber(tried or 0) < version then redis.call('HSET', job, 'tried', version) end
local untried = tonumber(shown) == version - 1 and tonumber(tried or 0) < version
return untried and knows and 2 or 1
