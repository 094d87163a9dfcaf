-- Sets when a job on the agenda is checked next, unless the view shows another version of it.
-- KEYS  1 the agenda
--       2 the job in the view
-- ARGV  1 id of the job
--       2 version that the caller has seen
--       3 time of the check (seconds since the epoch, or inf)
-- Returns nothing.
if redis.call('HGET', KEYS[2], 'version') ~= ARGV[2] then return end
redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[1])
