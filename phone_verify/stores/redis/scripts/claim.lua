-- needs records failures siblings
-- Verify the one open claim of the phone that this call proves; a call that fits two proves
-- neither.
local driver, caller, reference, line = unpack(asked, 4, 7)

-- Match the full caller, and the reference or else the line: an unknown reference is never retried
-- as a pair.
local function proven(record)
  if not is_open(record) or record.code_source ~= 'nobody' or record.driver ~= driver or record.phone ~= caller then
    return false
  end
  if reference ~= '' then
    return record.reference == reference
  end
  return line ~= '' and record.line == line
end

local fitting = {}
for _, record in ipairs(siblings(redis.call('HGET', KEYS[1], 'index') or '', now)) do
  fitting[#fitting + 1] = proven(record) and record or nil
end
if #fitting ~= 1 then
  return answer('none')
end
local record = fitting[1]
close(record, 'verified')
record.by_pair = reference == '' and '1' or ''
local text = write(record)
succeed(record)
return answer('done', text)
