-- Records a complete pass over all markers, if this is the server at which it began and it was not wiped since.
-- Needs server_id.
-- KEYS  1 the record of the last complete pass
--       2 the pass
-- Returns nothing.
local server = server_id()
-- A Redis that was wiped meanwhile does not know this pass; one that was replaced has another id.
if redis.call('GET', KEYS[2]) ~= server then return end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'server', server, 'at', redis.call('TIME')[1])
