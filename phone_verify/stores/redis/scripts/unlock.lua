-- Drop the phone's wrong answers and their lockouts.
local had_any = false
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 1) == 'f' then
    redis.call('HDEL', KEYS[1], field)
    had_any = true
  end
end
return answer(had_any and 'done' or 'none')
