-- needs records counters failures
-- Count one more send of an open record and postpone the next one; or change nothing and return the
-- reason.
local id, binding, short, most, most_short, resend_after = unpack(asked, 4, 9)
local record, text = read(id)
if not record or record.binding ~= binding then
  return answer('unbound')
end
local failures, failures_before = failures_of(failure_key(record))
local function refused(why, wait)
  return answer(why, text, failures_before, wait)
end

if not is_open(record) then
  return refused('closed')
end
local why, wait = locked(failures, most, most_short, short)
if why == 'failures' then
  return refused(why, wait)
end
if tonumber(record.resend_at) > now then
  return refused('too_soon', record.resend_at - now)
end
local fields, longest = {}, 0
for n = 10, #asked, 4 do
  local name = 's' .. asked[n]
  local window, window_rest = counted(redis.call('HGET', KEYS[1], name), asked[n + 1], asked[n + 2], asked[n + 3])
  if not window then
    return refused('quota', window_rest)
  end
  fields[#fields + 1], fields[#fields + 2] = name, window
  longest = math.max(longest, window_rest)
end
if why then
  return refused(why, wait)
end

record.sends = record.sends + 1
-- Doubled each time, up to a ceiling.
local delay = math.min(resend_after * 2 ^ math.min(record.sends - 1, 10), HARD_RESEND_DELAY)
record.resend_at = text_of(now + delay)
text = stored(record)
redis.call('HSET', KEYS[1], 'r' .. id, text, unpack(fields))
hold(longest)
return answer('done', text, failures_before)
