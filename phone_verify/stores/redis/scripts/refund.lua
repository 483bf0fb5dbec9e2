-- Undo what the phone's own quotas counted at a given time.
local at = tonumber(asked[4])
for n = 5, #asked, 4 do
  local name, length = 's' .. asked[n], tonumber(asked[n + 2])
  local count, ends_at = string.match(redis.call('HGET', KEYS[1], name) or '', '^(%d+) (%d+)$')
  if count and ends_at - length <= at and at < tonumber(ends_at) then
    redis.call('HSET', KEYS[1], name, math.max(count - 1, 0) .. ' ' .. ends_at)
  end
end
return answer('done')
