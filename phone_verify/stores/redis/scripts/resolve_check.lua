-- needs records failures tally answers
-- Record a provider's verdict on an answer that `spend` let through: right, wrong, or not checked.
local id, word, generation, has_address, rights = unpack(asked, 4, 8)
local record = read(id)
if not record then
  return answer('none')
end
local key = failure_key(record)
record.pending_checks = text_of(math.max(record.pending_checks - 1, 0))
local present = is_open(record) and record.generation == generation
if word == 'right' and present then
  close(record, 'verified')
  local text = write(record)
  succeed(record)
  return answer('proven', text .. changed(taken_back(record, seen_from(9), rights, has_address ~= '')), select(2, failures_of(key)))
end
local change = word == 'wrong' and tallied(record, seen_from(9), has_address ~= '') or NO_CHANGE
-- A slow right answer is not discarded because of a faster wrong one.
if present and tonumber(record.attempts_left) == 0 and record.pending_checks == '0' then
  close(record, 'exhausted')
end
local text = write(record)
if word == 'unknown' then
  keep_failures(key, forgiven((failures_of(key))))
end
return answer('done', text .. changed(change), select(2, failures_of(key)))
