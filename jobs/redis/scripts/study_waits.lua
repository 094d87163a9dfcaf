-- Tells whether a job of a study is on the agenda. If so, the study is not checked before one of them leaves it.
-- KEYS  1 the agenda
-- ARGV  1 id of the study
--       2... ids of its jobs
-- Returns 1 if one of the jobs is on the agenda, 0 otherwise.
local study = ARGV[1]
for index = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[index]) then
    redis.call('ZADD', KEYS[1], 'XX', '+inf', study)
    return 1
  end
end
return 0
