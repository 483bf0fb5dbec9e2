-- The places of responses to requests with an idempotency key, each a separate key: who took it, for
-- which request, until when, and the sealed response if there is one.

local function place_at(key)
  local holder, request, ends_at, response = string.match(
    redis.call('GET', key) or '', '^([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)$')
  if holder and tonumber(ends_at) > now then
    return {holder = holder, request = request, response = response}
  end
end

local function put(key, place, lasts)
  local text = table.concat({place.holder, place.request, text_of(now + lasts), place.response}, '\n')
  redis.call('SET', key, text, 'PX', math.ceil(lasts / 1000))
end

local function held(place)
  return answer('done', place.holder .. '\0' .. place.request .. '\0' .. place.response .. '\0')
end
