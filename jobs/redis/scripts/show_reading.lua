-- Shows a version of a reading in the figures of the readings, unless it shows this version or a later one.
-- KEYS  1 the version of the reading that is shown
--       2 the readings of its priority that wait for a reader, by the time of their request
--       3 the readings of its priority that are open, by their due time
--       4 the readings of its priority that are open, and have been counted as overdue
--       5 the counts
--       6 all open readings, as `<client> <id>`, with the same score
-- ARGV  1 id                  2 version             3 requested at        4 due at
--       5 whether it waits: 1 or 0                  6 whether it is open: 1 or 0
--       7 whether it is overdue: 1 or 0             8 seconds for which the version of one that ended is kept
--       9 priority           10 turnaround in seconds where it was signed, else ''
--      11 the bucket of the turnaround             12 how model and reader disagree
--      13 client
-- Times are seconds since the epoch.
-- Returns 1 if the version is shown now, 0 if it or a later one was shown before.
local shown, waiting, open, overdue, counts, of_clients = unpack(KEYS)
local id, version, requested, due, waits, is_open, is_overdue, kept = unpack(ARGV)
local priority, turnaround, bucket, kind, client = unpack(ARGV, 9)
local old = redis.call('GET', shown)
if old and tonumber(old) > tonumber(version) then return 0 end
local member = client .. ' ' .. id
if is_open == '1' then redis.call('ZADD', of_clients, 0, member) else redis.call('ZREM', of_clients, member) end
if old and tonumber(old) == tonumber(version) then return 0 end
if waits == '1' then redis.call('ZADD', waiting, requested, id) else redis.call('ZREM', waiting, id) end
if is_open == '1' then
  redis.call('SET', shown, version)
  redis.call('ZADD', open, due, id)
  if is_overdue == '1' and redis.call('SADD', overdue, id) == 1 then
    redis.call('HINCRBY', counts, 'reading-overdue:' .. priority, 1)
  end
  return 1
end
redis.call('SET', shown, version, 'EX', kept)
redis.call('SREM', overdue, id)
-- Only a reading that was shown as open is counted, so that each is counted once.
if redis.call('ZREM', open, id) == 1 and turnaround ~= '' then
  redis.call('HINCRBY', counts, 'reading-turnaround:' .. priority .. ':' .. bucket, 1)
  redis.call('HINCRBY', counts, 'reading-turnaround-sum:' .. priority, turnaround)
  redis.call('HINCRBY', counts, 'reading-disagreement:' .. kind, 1)
end
return 1
