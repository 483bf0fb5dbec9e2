-- needs records
-- Take back the failure counted for a remote code that the provider never judged; the time of the last stays.
local record = read(asked[4])
local name = record and 'f' .. budget(record)
local count, last_at = string.match(record and redis.call('HGET', KEYS[1], name) or '', '^(%d+) (%d+)$')
if count and count - 1 > 0 then
  redis.call('HSET', KEYS[1], name, count - 1 .. ' ' .. last_at)
elseif count then
  redis.call('HDEL', KEYS[1], name)
end
return answer('done')
