-- Wrong answers in a row under one budget of a phone: "count last_at".

-- How many are remembered, and for how long yet.
local function failing(budget)
  local text = redis.call('HGET', KEYS[1], 'f' .. budget)
  if not text then
    return 0
  end
  local count, last_at = string.match(text, '^(%d+) (%d+)$')
  local rest = last_at + FAILURE_MEMORY - now
  if rest <= 0 then
    return 0
  end
  return tonumber(count), rest
end

-- Why they stand against this, and how long to wait; or nil.
local function locked(failures, rest, most, most_short, short)
  if failures == 0 then
    return nil
  end
  if failures >= tonumber(most) then
    return 'failures', rest
  end
  if short == '1' and failures >= tonumber(most_short) then
    return 'short_codes_closed', rest
  end
end
