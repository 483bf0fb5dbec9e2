-- needs counters tally
-- Count one send under each shared quota, each with a separate key: either all, or none with the
-- time to retry. A gate is compared and not counted. The last key is the tally's.
local windows, rests, ends = {}, {}, {}
local most = #KEYS - 1
local kept = most > 0 and redis.call('MGET', unpack(KEYS, 1, most)) or {}
for n = 1, most do
  local limit, length, others = unpack(asked, 4 * n, 4 * n + 2)
  local window, rest = counted(kept[n], limit, length, others)
  if not window then
    return answer('quota', nil, nil, rest)
  end
  windows[n], rests[n] = window, rest
end
for n = 1, most do
  if asked[4 * n + 3] ~= '1' then
    redis.call('SET', KEYS[n], windows[n], 'PX', math.ceil(rests[n] / 1000))
  end
  ends[n] = text_of(now + rests[n])
end
local sums = tally_at(KEYS[#KEYS])
ends[#ends + 1], ends[#ends + 2], ends[#ends + 3] = sums.short, sums.long, sums.right
return answer('done', table.concat(ends, '\0') .. '\0')
