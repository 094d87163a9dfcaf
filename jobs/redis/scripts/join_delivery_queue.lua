-- Puts a callback into the delivery queue of its receiver.
-- KEYS  1 the delivery queue
--       2 the receivers of the client
--       3 the clients with a delivery queue
-- ARGV  1 id of what the callback tells of
--       2 time at which it is due (seconds since the epoch)
--       3 origin of the receiver
--       4 client
-- Returns nothing.
local queue, receivers, clients = unpack(KEYS)
local item, due, origin, client = unpack(ARGV)
redis.call('ZADD', queue, due, item)
redis.call('ZADD', receivers, 'LT', due, origin)
redis.call('ZADD', clients, 'LT', due, client)
