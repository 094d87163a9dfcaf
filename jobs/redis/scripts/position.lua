-- Estimates how many jobs go before a waiting one. Needs queue_position.
-- ARGV  1 priority
--       2 client
--       3 id of the job
-- Returns the number of jobs; -1 if the job does not wait.
return queue_position(unpack(ARGV))
