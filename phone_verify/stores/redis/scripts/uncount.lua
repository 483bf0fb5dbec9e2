-- Undo what `count` counted, in exactly the windows in which it was counted.
for n = 1, #KEYS do
  local window = redis.call('GET', KEYS[n])
  local count, ends_at = string.match(window or '', '^(%d+) (%d+)$')
  if ends_at == asked[n + 3] then
    redis.call('SET', KEYS[n], math.max(count - 1, 0) .. ' ' .. ends_at, 'KEEPTTL')
  end
end
return answer('done')
