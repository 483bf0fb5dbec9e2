-- Wrong answers under one budget of a phone: "count last_at expires_at total locks locked_until"; 0 is not locked.

-- The stored failures, as a table and as text; nil and '' for none.
local function failures_of(key)
  local text = redis.call('HGET', KEYS[1], 'f' .. key) or ''
  local count, last_at, expires_at, total, locks, locked_until =
    string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not count or tonumber(expires_at) <= now then
    return nil, ''
  end
  return {
    count = tonumber(count), last_at = tonumber(last_at), expires_at = tonumber(expires_at), total = tonumber(total),
    locks = tonumber(locks), locked_until = tonumber(locked_until),
  }, text
end

local function failures_text(failures)
  return failures.count .. ' ' .. text_of(failures.last_at) .. ' ' .. text_of(failures.expires_at) .. ' '
    .. failures.total .. ' ' .. failures.locks .. ' ' .. text_of(failures.locked_until)
end

-- How many count towards the next lockout; when a lockout ends, the count restarts.
local function failing(failures)
  if not failures or (failures.locked_until > 0 and failures.locked_until <= now) then
    return 0
  end
  return failures.count
end

-- Why the failures forbid this, and how long to wait; or nil.
local function locked(failures, most, most_short, short)
  if not failures then
    return nil
  end
  local count, ends = failing(failures), failures.locked_until
  if ends == 0 and count >= tonumber(most) then  -- the limit has been lowered since
    ends = failures.last_at + FIRST_LOCK
  end
  if ends > now then
    local wait = math.min(in_whole_hours(ends - now), LONGEST_LOCK)
    if ends ~= FOREVER then  -- a test number's lockout is reported like that of any number
      wait = math.min(wait, FIRST_LOCK * 2 ^ math.min(math.max(failures.locks - 1, 0), 5))
    end
    return 'failures', wait
  end
  if short == '1' and count >= tonumber(most_short) and now < failures.last_at + SHORT_REST then
    return 'short_codes_closed', in_whole_hours(failures.last_at + SHORT_REST - now)
  end
end

-- The failures after another wrong answer: locked at the limit, each time for twice as long.
local function failed_once_more(failures, most, ceiling, key)
  local test_number = key == 'test_number'
  local memory = test_number and TEST_NUMBER_MEMORY or FAILURE_MEMORY
  local more = {
    count = failing(failures) + 1, last_at = now, total = (failures and failures.total or 0) + 1,
    locks = failures and failures.locks or 0, locked_until = 0,
  }
  if more.count >= tonumber(most) then
    local lock = math.min(FIRST_LOCK * 2 ^ math.min(more.locks, 10), LONGEST_LOCK)
    more.locks, more.locked_until = more.locks + 1, now + (test_number and memory or lock)
  end
  if tonumber(ceiling) > 0 and more.total >= tonumber(ceiling) and not test_number then
    more.locked_until = FOREVER
  end
  more.expires_at = math.max(now + memory, more.locked_until)
  return more
end

-- The failures without the attempt that could not be checked, and without the lockout that it caused; or nil.
local function forgiven(failures)
  if not failures or failures.total <= 1 then
    return nil
  end
  local undone = failures.locked_until > now and 1 or 0
  return {
    count = math.max(failures.count - 1, 0), last_at = failures.last_at, expires_at = failures.expires_at,
    total = failures.total - 1, locks = math.max(failures.locks - undone, 0), locked_until = 0,
  }
end

-- Clear what a success of this record clears: its own failures, never a test number's, and none while a required
-- channel is left; on a trusted device also those of other browsers if they reached the ceiling.
local function succeed(record)
  local key, others = failure_key(record), counts_as(record)
  if others == 'test_number' or whole(others) ~= others then
    return
  end
  others = of_service(record, others)
  redis.call('HDEL', KEYS[1], 'f' .. key)
  if record.trusted ~= '' then
    local closed = failures_of(others)
    if closed and closed.locked_until == FOREVER then
      redis.call('HDEL', KEYS[1], 'f' .. others)
    end
  end
end

local function keep_failures(key, failures)
  if not failures then
    redis.call('HDEL', KEYS[1], 'f' .. key)
    return ''
  end
  local text = failures_text(failures)
  redis.call('HSET', KEYS[1], 'f' .. key, text)
  hold(failures.expires_at - now)
  return text
end
