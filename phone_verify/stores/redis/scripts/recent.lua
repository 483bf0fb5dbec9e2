-- needs records siblings
-- The records of the phone that have not expired.
local found = {}
for _, record in ipairs(siblings(redis.call('HGET', KEYS[1], 'index') or '', now)) do
  found[#found + 1] = stored(record)
end
return answer('done', table.concat(found))
