-- needs records failures
-- Take a provider's word on an answer that `spend` has let through: right, wrong, or nobody could judge.
local id, word, generation = unpack(asked, 4, 6)
local record = read(id)
if not record then
  return answer('none')
end
local name = 'f' .. budget(record)
record.unjudged = text_of(math.max(record.unjudged - 1, 0))
local present = is_open(record) and record.generation == generation
if word == 'right' and present then
  close(record, 'verified')
  local text = write(record)
  redis.call('HDEL', KEYS[1], name)
  return answer('proven', text)
end
-- A slow right answer is not thrown away for a quick wrong one.
if present and tonumber(record.attempts_left) == 0 and record.unjudged == '0' then
  close(record, 'exhausted')
end
local text = write(record)
if word == 'unknown' then
  local count, last_at = string.match(redis.call('HGET', KEYS[1], name) or '', '^(%d+) (%d+)$')
  if count and count - 1 > 0 then
    redis.call('HSET', KEYS[1], name, count - 1 .. ' ' .. last_at)
  elseif count then
    redis.call('HDEL', KEYS[1], name)
  end
end
return answer('done', text, (failing(budget(record))))
