-- Add a claim to the index of its line, until it expires. `claimant` reads the records themselves: an
-- entry does not say that its claim is still open.
local id, expires_at = asked[4], asked[5]
redis.call('ZADD', KEYS[1], expires_at, id)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_text)
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', KEYS[1], math.max(1, math.ceil(((tonumber(last[2]) or now) - now) / 1000)))
return answer('done')
