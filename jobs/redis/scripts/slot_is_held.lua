-- Function for other scripts: returns whether a process that lives holds a call slot, until `till` at most.
-- Needs lives. `seconds`: how long a process lives after its last beat.
local function slot_is_held(holder, till, now, seconds)
  return tonumber(till) > now and lives(string.match(holder, '^(.*)/'), seconds)
end
