-- needs records counters failures siblings tally shared
-- Count the phone's own quotas, end the open record of the presented binding, and insert; or change
-- nothing and return the reason. With further keys, the shared quotas are counted too.
local id, purpose, service = asked[4], asked[6], asked[7]
local values = table.concat(asked, '\0', 4, 28)
local subject, budget, proved_channels, access_key, channels = unpack(asked, 29, 33)
local life, delay, short, most, most_short, quotas = unpack(asked, 34, 39)
local counted_as = failure_key({purpose = purpose, service = service, trusted = asked[27], budget = budget, subject = subject})
local first_quota, first_shared = 40, 40 + 4 * quotas
local first_shown = first_shared

local windows, sums
if #KEYS > 1 then
  local rest
  windows, rest = shared_windows(2, first_shared)
  if not windows then
    return answer('quota', nil, nil, rest)
  end
  first_shown = first_shared + 4 * #windows + 2
  sums = tally_at(KEYS[#KEYS])
  if closes_short(sums, asked[first_shown - 2], 0) or lengthens(sums, asked[first_shown - 1]) then
    return answer('two_steps')
  end
end

local failures, failures_before = failures_of(counted_as)
local why, wait = locked(failures, most, most_short, short)
if why == 'failures' then
  return answer(why, nil, nil, wait)
end

local names = {'index'}
for n = first_quota, first_shared - 1, 4 do
  names[#names + 1] = 's' .. asked[n]
end
local kept = redis.call('HMGET', KEYS[1], unpack(names))
-- The values after the times are empty: not closed, not polled, no answers, no proving call, no
-- second method, no other channel, no other caller, no attestation.
local ends_at = text_of(now + life)
local record = table.concat(
  {values, now_text, ends_at, text_of(now + delay), '', '', subject, budget, '0', '0', '0', '', '', '', '',
    '0', '', '', '', proved_channels, '', '', access_key, channels, ''}, '\0')
local fields = {'r' .. id, record}
local longest = life + keep
for n = 2, #names do
  local at = first_quota + 4 * (n - 2)
  local window, window_rest = counted(kept[n], asked[at + 1], asked[at + 2], asked[at + 3])
  if not window then
    return answer('quota', nil, nil, window_rest)
  end
  fields[#fields + 1], fields[#fields + 2] = names[n], window
  longest = math.max(longest, window_rest)
end
if why then
  return answer(why, nil, nil, wait)
end

local index = kept[1] or ''
if first_shown <= #asked then
  local shown = shown_from(first_shown)
  for _, sibling in ipairs(siblings(index, now)) do
    if sibling.purpose == purpose and sibling.service == service and is_open(sibling) and shown[sibling.binding] then
      close(sibling, 'cancelled')
      fields[#fields + 1], fields[#fields + 2] = 'r' .. sibling.id, stored(sibling)
    end
  end
end

-- The key of a phone that starts every day never expires, so each start removes some expired records.
local over, swept = {}, 0
while swept < SWEPT_PER_START and #index > 0
    and tonumber(string.sub(index, ID_LENGTH + 1, ENTRY_LENGTH)) + keep <= now do
  local name = 'r' .. string.sub(index, 1, ID_LENGTH)
  over[#over + 1], swept = name, swept + 1
  index = string.sub(index, ENTRY_LENGTH + 1)
end
-- The counters of clients and budgets are also cleaned up now and then.
if redis.call('HLEN', KEYS[1]) > MOST_FIELDS then
  local all = redis.call('HGETALL', KEYS[1])
  for n = 1, #all, 2 do
    local kind = string.sub(all[n], 1, 1)
    local ends = tonumber(string.match(all[n + 1], kind == 's' and '^%d+ (%d+)$' or '^%d+ %d+ (%d+) ') or 0)
    if (kind == 's' or kind == 'f') and ends <= now then
      over[#over + 1] = all[n]
    end
  end
end

-- Remove expired windows first: a window that restarts has the name of the one that ended.
redis.call('HSET', KEYS[1], 'index', index .. id .. ends_at)
if #over > 0 then
  redis.call('HDEL', KEYS[1], unpack(over))
end
redis.call('HSET', KEYS[1], unpack(fields))
hold(longest)
return answer('done', windows and count_shared(windows, sums), failures_before)
