-- needs conversion_counts
-- Add orders to the conversions of this route, by the rule of `Conversion.added`.
local sent, verified, changed_at = conversion_at(KEYS[1])
local passed = math.max(now - changed_at, 0)
local left = math.exp(-(passed / DECAY + math.min(1 / MEMORY, passed / SHORTEST_MEMORY)))
sent, verified = sent * left + tonumber(asked[4]), verified * left + tonumber(asked[5])
local text = string.format('%.17g %.17g %.0f', sent, verified, math.max(changed_at, now))
redis.call('SET', KEYS[1], text, 'PX', CONVERSIONS_KEPT / 1000)
return answer('done')
