-- needs counters
-- Count one send under each shared quota, each a key of its own: all, or none and which says when.
local windows, rests, ends = {}, {}, {}
local kept = redis.call('MGET', unpack(KEYS))
for n = 1, #KEYS do
  local window, rest = counted(kept[n], asked[2 * n + 2], asked[2 * n + 3])
  if not window then
    return answer('quota', nil, nil, rest)
  end
  windows[n], rests[n] = window, rest
end
for n = 1, #KEYS do
  redis.call('SET', KEYS[n], windows[n], 'PX', math.ceil(rests[n] / 1000))
  ends[n] = text_of(now + rests[n])
end
return answer('done', table.concat(ends, '\0') .. '\0')
