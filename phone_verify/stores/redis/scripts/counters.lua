-- Windows of sends, for `count` and the scripts that count a phone's own: "count ends_at".

-- The window with one more send, and how long until it ends; or nil and how long to wait, in whole
-- hours if others may have filled it.
local function counted(window, limit, length, others)
  local count, ends_at
  if window then
    count, ends_at = string.match(window, '^(-?%d+) (%d+)$')
    ends_at = tonumber(ends_at)
  end
  if not window or ends_at <= now then
    return '1 ' .. text_of(now + length), length
  end
  if tonumber(count) >= tonumber(limit) then
    return nil, others == '1' and in_whole_hours(ends_at - now) or ends_at - now
  end
  return count + 1 .. ' ' .. text_of(ends_at), ends_at - now
end
