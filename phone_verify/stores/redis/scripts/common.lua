-- What the verbs share; it stands before each of them. The rules are those of lifecycle.py, under the same names.
--
-- One key holds one phone, a hash with its tag as hash tag:
--   r<id>        a record: its values in the order below, each with a NUL after it
--   s<quota>     the sends counted under one of the phone's own quotas: "count ends_at"
--   f<key>       its wrong answers under one budget, see failures.lua
--   index        sixty characters for each record in the order of opening: its id, and when its life ends
-- One key that moves as a whole is what a Cluster can move between its nodes at any time, and what a script may touch.
--
-- A value that is not there is empty; a text that may be missing has a "=" before it when it is there. Python takes
-- NULs out of texts.
--
-- Times are whole microseconds since 1970, which a Lua number holds exactly, but loses when it becomes a text by
-- itself: `text_of` makes one. LINE_REST and the other names in capitals are put before this text from the Python rules.
--
-- The first write of every verb is one that a server without memory refuses, so that it then does none of the step.

-- What is asked: so many texts, each with a NUL after it. Few long arguments cost both sides less than many short ones.
local asked = {struct.unpack(string.rep('s', ARGV[1]), ARGV[2])}
asked[#asked] = nil  -- where `unpack` came to its end
local mark, now_text, keep = asked[1], asked[2], tonumber(asked[3])
if now_text == '' then
  local time = redis.call('TIME')
  now_text = string.format('%s%06d', time[1], time[2])
end
local now = tonumber(now_text)

local function text_of(time)
  return string.format('%.0f', time)
end

-- A wait rounded up to the full hour: what a client may learn of what other clients did.
local function in_whole_hours(wait)
  return math.ceil(wait / HOUR) * HOUR
end

-- What Python gets: its own mark of this call, a word, and what belongs to it. 0 is no `retry_after`.
local function answer(word, record, failures, retry_after)
  return mark .. '\0' .. word .. '\0' .. now_text .. '\0' .. (failures or '') .. '\0' .. text_of(retry_after or 0) .. '\0'
    .. (record or '')
end
