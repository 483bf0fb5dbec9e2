-- The index of a line's claims, under a key of the line: their ids by expiry. An entry does not say
-- that its claim is still open, so readers examine the records.

local function index_line(key, id, expires_at)
  redis.call('ZADD', key, expires_at, id)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now_text)
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', key, math.max(1, math.ceil(((tonumber(last[2]) or now) - now) / 1000)))
end
