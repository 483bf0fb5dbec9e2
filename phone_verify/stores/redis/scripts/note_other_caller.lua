-- needs records
-- Note that another phone has called the line of an open claim, at most once in a while.
local id = asked[4]
local record = read(id)
local claim = record and is_open(record) and claim_of(record)
if not claim or claim.line == '' then
  return answer('refused')
end
if record.other_caller_at ~= '' and now < record.other_caller_at + OTHER_CALLER_EVERY then
  return answer('refused')
end
record.other_caller_at = now_text
write(record)
return answer('done')
