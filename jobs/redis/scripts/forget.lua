-- Removes a job from the agenda and has its study checked soon, unless the view shows a later version of the job.
-- KEYS  1 the agenda
--       2 the job in the view
-- ARGV  1 id of the job
--       2 version at which nothing is left to do for it
--       3 seconds until the study is checked
-- Returns nothing.
local shown, study = unpack(redis.call('HMGET', KEYS[2], 'version', 'study'))
if shown and tonumber(shown) > tonumber(ARGV[2]) then return end
redis.call('ZREM', KEYS[1], ARGV[1])
if study then redis.call('ZADD', KEYS[1], 'XX', 'LT', redis.call('TIME')[1] + ARGV[3], study) end
