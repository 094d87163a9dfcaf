-- Takes the jobs that are due from the agenda: each comes back after a pause, unless it is checked later or forgotten.
-- KEYS  1 the agenda
-- ARGV  1 jobs that are due until this time (seconds since the epoch), and no later than now by the clock of Redis
--       2 most jobs to take
--       3 seconds until a job that was taken is due again
-- Returns the ids of the jobs.
local at = redis.call('TIME')
local now = at[1] + at[2] / 1000000
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', math.min(now, ARGV[1]), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], string.format('%.3f', now + ARGV[3]), id) end
return due
