-- Records that a pass over all markers begins at this server.
-- Needs server_id.
-- KEYS  1 the pass
-- ARGV  1 seconds after which the pass is forgotten
-- Returns OK.
return redis.call('SET', KEYS[1], server_id(), 'EX', ARGV[1])
