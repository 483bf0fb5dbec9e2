-- needs records counters failures
-- Count one more send of an open record and postpone the next one on this channel; or change nothing
-- and return the reason.
local id, binding, channel, short, most, most_short, resend_after = unpack(asked, 4, 10)
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
local waits = waits_of(record)
local its_wait = wait_on(waits, channel)
if its_wait and its_wait.at > now then
  return refused('too_soon', its_wait.at - now)
end
local fields, longest = {}, 0
for n = 11, #asked, 4 do
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
if not its_wait then
  its_wait = {channel = channel, count = 0}
  waits[#waits + 1] = its_wait
end
-- Doubled each time, up to a ceiling.
its_wait.at = now + math.min(resend_after * 2 ^ math.min(its_wait.count, 10), HARD_RESEND_DELAY)
its_wait.count = its_wait.count + 1
if channel == record.channel then
  record.resend_at = text_of(its_wait.at)
end
for n, each in ipairs(waits) do
  waits[n] = each.channel .. ':' .. each.count .. '@' .. text_of(each.at)
end
record.waits = table.concat(waits, ' ')
text = stored(record)
redis.call('HSET', KEYS[1], 'r' .. id, text, unpack(fields))
hold(longest)
return answer('done', text, failures_before)
