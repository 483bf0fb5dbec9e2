-- needs records failures tally answers
-- Consume an attempt, compare, close if right or out of attempts, count or clear the failures; or return the reason.
local id, binding, length, most, most_short, ceiling, per_address, short_per_day, has_address, rights =
  unpack(asked, 4, 13)
local record, text = read(id)
if not record or record.binding ~= binding then
  return answer('unbound')
end
local key = failure_key(record)
local failures, failures_before = failures_of(key)
local function refused(why, wait)
  return answer(why, text, failures_before, wait)
end

local attempts_left = tonumber(record.attempts_left)
if not is_open(record) or attempts_left < 1 then
  return refused('closed')
end
local remote = record.code_source == 'remote'
if record.code_source == 'nobody' or (record.code_digest == '' and not remote) then
  return refused('no_code')
end
if length == '0' or (record.code_length ~= '' and record.code_length ~= length) then
  return refused('other_length')
end
local seen = seen_from(14)
local why, wait = locked(failures, most, most_short, record.short)
if not why then
  why, wait = slowed(record, seen, per_address, short_per_day)
end
if why then
  return refused(why, wait)
end

record.attempts_left = attempts_left - 1
if not remote and shown_from(18)[record.code_digest] then
  close(record, 'verified')
  text = write(record)
  succeed(record)
  return answer('right', text .. changed(taken_back(record, seen, rights, has_address ~= '')), select(2, failures_of(key)))
end
if not remote and attempts_left == 1 then
  close(record, 'exhausted')
end
local change = NO_CHANGE
if remote then
  record.pending_checks = record.pending_checks + 1
else
  change = tallied(record, seen, has_address ~= '')
end
text = write(record)
local failed = keep_failures(key, failed_once_more(failures, most, ceiling, key))
return answer(remote and 'taken' or 'wrong', text .. changed(change), failed)
