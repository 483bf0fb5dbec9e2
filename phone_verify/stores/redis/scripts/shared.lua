-- Sends under quotas that span phones, each with a separate key; needs counters and tally. The last key is the tally's.

-- The windows of the quotas whose keys begin at one position and whose numbers at another, with one
-- more send; or nil and how long to wait.
local function shared_windows(first_key, first)
  local windows = {}
  local kept = #KEYS > first_key and redis.call('MGET', unpack(KEYS, first_key, #KEYS - 1)) or {}
  for n = 1, #KEYS - first_key do
    local limit, length, others, gate = unpack(asked, first + 4 * n - 4, first + 4 * n - 1)
    local window, rest = counted(kept[n], limit, length, others)
    if not window then
      return nil, rest
    end
    windows[n] = {key = KEYS[first_key + n - 1], text = window, rest = rest, gate = gate == '1'}
  end
  return windows
end

-- Write them, except gates, which are only compared; returns their ends and the tally as text, for Python.
local function count_shared(windows, sums)
  local values = {}
  for n, window in ipairs(windows) do
    if not window.gate then
      redis.call('SET', window.key, window.text, 'PX', math.ceil(window.rest / 1000))
    end
    values[n] = text_of(now + window.rest)
  end
  values[#values + 1], values[#values + 2], values[#values + 3] = sums.short, sums.long, sums.right
  return table.concat(values, '\0') .. '\0'
end
