-- The other records of a phone, by its index.

local ID_LENGTH, ENTRY_LENGTH = 44, 60

-- The records of the phone that had not expired at `since`.
local function siblings(index, since)
  local names = {}
  for at = #index - ENTRY_LENGTH + 1, 1, -ENTRY_LENGTH do
    local expires_at = tonumber(string.sub(index, at + ID_LENGTH, at + ENTRY_LENGTH - 1))
    if expires_at + HARD_LIFE <= since then
      break  -- anything opened before this one has expired as well: no lifetime is longer
    end
    if since < expires_at then
      names[#names + 1] = 'r' .. string.sub(index, at, at + ID_LENGTH - 1)
    end
  end
  local records = {}
  if #names > 0 then
    for _, text in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
      local record = text and record_of(text)  -- it may expire before what the index says: a receipt shortens a life
      records[#records + 1] = record and since < tonumber(record.expires_at) and record or nil
    end
  end
  return records
end
