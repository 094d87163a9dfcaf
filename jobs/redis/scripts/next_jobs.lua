-- Chooses the jobs of a client's queue that are sent to workers now. Needs choose_jobs.
-- KEYS  1 the client's queue
--       2 its window
--       3 the sent jobs of this priority
--       4 the clients whose queues have changed
-- ARGV  1 size of the window
--       2 client
-- Returns what choose_jobs does.
local queue, window, sent, unfed = unpack(KEYS)
return choose_jobs(queue, window, sent, unfed, tonumber(ARGV[1]), ARGV[2])
