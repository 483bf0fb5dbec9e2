-- The conversions of a route, each in a separate key: "sent verified changed_at". Both counts are decimal numbers.

local function conversion_at(key)
  local sent, verified, changed_at = string.match(redis.call('GET', key) or '', '^(%S+) (%S+) (%d+)$')
  sent, verified = tonumber(sent or ''), tonumber(verified or '')
  -- With NaN each comparison is false.
  if sent and verified and sent >= 0 and sent <= MOST_COUNTED and verified >= 0 and verified <= MOST_COUNTED then
    return sent, verified, tonumber(changed_at)
  end
  return 0, 0, now
end
