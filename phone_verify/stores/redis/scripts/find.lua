-- needs records siblings
-- The one open claim of the phone that has this reference of this driver.
local driver, reference = asked[4], asked[5]
local found = {}
for _, record in ipairs(siblings(redis.call('HGET', KEYS[1], 'index') or '', now)) do
  local claim = claim_of(record)
  if claim and is_open(record) and claim.driver == driver and claim.reference == reference then
    found[#found + 1] = record
  end
end
if #found ~= 1 then
  return answer('none')
end
return answer('done', stored(found[1]))
