-- Wrong and right answers of all phones: a hash of "series:hour" -> count. And those of an address: "count ends_at", in
-- a separate key. Both are in the shared slot, like the quotas that span phones.

local SERIES = {'short', 'long', 'right'}

-- The sums of the last 24 hours, in the order of SERIES.
local function tally_at(key)
  local sums = {short = 0, long = 0, right = 0}
  local kept = redis.call('HGETALL', key)
  for n = 1, #kept, 2 do
    local series, hour = string.match(kept[n], '^(%a+):(%d+)$')
    if hour and math.floor(now / HOUR) - TALLY_HOURS <= tonumber(hour) then
      sums[series] = sums[series] + tonumber(kept[n + 1])
    end
  end
  return sums
end

-- Whether sign-in gets no short codes on browsers that are not trusted devices; `own` are the
-- verification's own wrong answers in the tally.
local function closes_short(sums, most, own)
  return sums.short >= tonumber(most) and sums.short - own >= TALLY_SHARE * sums.right
end

-- Whether such browsers get longer codes.
local function lengthens(sums, most)
  return sums.long >= math.max(tonumber(most), TALLY_SHARE * sums.right)
end

local function tally_change(key, change)
  local hour, changed = math.floor(now / HOUR), false
  for _, series in ipairs(SERIES) do
    if change[series] ~= 0 then
      redis.call('HINCRBY', key, series .. ':' .. text_of(hour), change[series])
      changed = true
    end
  end
  if not changed then
    return
  end
  redis.call('PEXPIRE', key, math.ceil((TALLY_HOURS + 2) * HOUR / 1000))
  if redis.call('HLEN', key) > 2 * #SERIES * (TALLY_HOURS + 1) then
    for _, field in ipairs(redis.call('HKEYS', key)) do
      if tonumber(string.match(field, '%d+$')) < hour - TALLY_HOURS then
        redis.call('HDEL', key, field)
      end
    end
  end
end

-- How many wrong answers an address has given in its hour, and when that ends.
local function wrong_of(key)
  local count, ends_at = string.match(key and redis.call('GET', key) or '', '^(-?%d+) (%d+)$')
  if not count or tonumber(ends_at) <= now then
    return 0, now + SEND_WINDOW
  end
  return tonumber(count), tonumber(ends_at)
end

local function wrong_change(key, change)
  local count, ends_at = wrong_of(key)
  redis.call('SET', key, count + change .. ' ' .. text_of(ends_at), 'PX', math.ceil((ends_at - now) / 1000))
end
