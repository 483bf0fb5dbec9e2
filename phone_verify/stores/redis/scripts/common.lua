-- Code shared by the scripts; it is prepended to each of them. The rules are those of lifecycle.py,
-- under the same names.
--
-- One key holds one phone, a hash with its tag as hash tag:
--   r<id>        a record: its values in the order below, each followed by a NUL
--   s<quota>     the sends counted under one of the phone's own quotas: "count ends_at"
--   f<key>       its wrong answers under one budget, see failures.lua
--   index        sixty characters for each record in the order of opening: its id and its expiry
-- A Cluster can move a single key between its nodes at any time, and a script may use it.
--
-- A missing value is empty; an optional text is prefixed with "=" if present. Python removes NULs from texts.
--
-- Times are whole microseconds since 1970, which a Lua number represents exactly but loses in its
-- default conversion to text: `text_of` converts it. LINE_REST and the other names in capitals come
-- from the Python rules and are defined before this text.
--
-- The first write of every script is one that a server without free memory refuses, so that the
-- script then changes nothing.

-- The arguments: strings, each followed by a NUL. A few long arguments cost both sides less than many short ones.
local asked = {struct.unpack(string.rep('s', ARGV[1]), ARGV[2])}
asked[#asked] = nil  -- the position at which `unpack` ended
local mark, now_text, keep = asked[1], asked[2], tonumber(asked[3])
if now_text == '' then
  local time = redis.call('TIME')
  now_text = string.format('%s%06d', time[1], time[2])
end
local now = tonumber(now_text)

local function text_of(time)
  return string.format('%.0f', time)
end

-- A wait rounded up to the full hour, so that a client learns little about other clients.
local function in_whole_hours(wait)
  return math.ceil(wait / HOUR) * HOUR
end

-- The reply to Python: its own mark of this call, a word, and the data for it. 0 is no `retry_after`.
local function answer(word, record, failures, retry_after)
  return mark .. '\0' .. word .. '\0' .. now_text .. '\0' .. (failures or '') .. '\0' .. text_of(retry_after or 0) .. '\0'
    .. (record or '')
end
