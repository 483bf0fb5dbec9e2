-- needs records failures siblings
-- Verify the one open claim of the phone that this call proves; a call that fits two proves neither.
local driver, caller, reference, line, attestation = unpack(asked, 4, 8)

-- Match the full caller, and the reference or else the line: an unknown reference is never retried
-- as a pair. A call with neither fits the claims without a reference.
local function proven(record)
  local claim = claim_of(record)
  if not claim or not is_open(record) or claim.driver ~= driver or record.phone ~= caller then
    return false
  end
  if reference ~= '' then
    return claim.reference == reference
  end
  if line ~= '' then
    return claim.line == line
  end
  return claim.line ~= '' and claim.reference == ''
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
record.by_pair, record.by_call, record.attestation = reference == '' and '1' or '', '1', attestation
local text = write(record)
succeed(record)
return answer('done', text)
