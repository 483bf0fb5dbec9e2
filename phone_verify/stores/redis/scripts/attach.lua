-- needs records failures siblings
-- Put a receipt on an open record: never resets attempts, never extends the expiry. A line that
-- another claim of the phone holds closes the record as failed.
local id, sends, status, line, code_source, attempts, life = unpack(asked, 4, 10)
local record, text = read(id)
if not record then
  return answer('closed')
end
local _, failures = failures_of(failure_key(record))
if not is_open(record) then
  return answer('closed', text, failures)
end
if tonumber(sends) < tonumber(record.acked_send) then
  return answer('done', text, failures)  -- a later send has superseded this receipt
end

-- Lines released by a resend are kept as "line@time line@time".
local function lines_released(of)
  local lines = {}
  for number, time in string.gmatch(of.released_lines, '(%S+)@(%d+)') do
    lines[#lines + 1] = {line = number, at = tonumber(time)}
  end
  return lines
end

if line ~= '' then
  local shown = shown_from(20)
  local function holds_line(sibling)
    local same = sibling.line == line
    local live = same and is_open(sibling)
    if code_source ~= 'nobody' then
      -- A code that is held back until its phone calls: the call would also prove an open claim.
      return live and sibling.code_source == 'nobody' and not shown[sibling.binding]
    end
    if live then
      return true
    end
    local ended_at = sibling.closed_at ~= '' and sibling.closed_at or sibling.expires_at
    if same and sibling.by_pair ~= '' and now < ended_at + PAIR_REST then
      -- The provider may repeat its webhook, which would prove this claim too.
      local same_user = record.subject ~= '' and record.subject == sibling.subject
      return not (record.trusted ~= '' or same_user or shown[sibling.binding])
    end
    local rests = same and now < ended_at + LINE_REST
    for _, old in ipairs(lines_released(sibling)) do
      rests = rests or ('=' .. old.line == line and now < old.at + LINE_REST)
    end
    return rests and not shown[sibling.binding]
  end
  local index = redis.call('HGET', KEYS[1], 'index') or ''
  for _, sibling in ipairs(siblings(index, now - PAIR_REST)) do
    if sibling.id ~= id and sibling.phone == record.phone and holds_line(sibling) then
      close(record, 'failed')
      return answer('line_taken', write(record), failures)
    end
  end
end

local released_lines = {}
for _, old in ipairs(lines_released(record)) do
  if now < old.at + LINE_REST then
    released_lines[#released_lines + 1] = old.line .. '@' .. text_of(old.at)
  end
end
if record.line ~= '' and record.line ~= line then
  released_lines[#released_lines + 1] = string.sub(record.line, 2) .. '@' .. now_text
end
record.released_lines = table.concat(released_lines, ' ', math.max(1, #released_lines - MOST_RELEASED + 1))

if record.status == 'pending' then
  record.status = status
end
record.attempts_left = math.min(record.attempts_left, attempts)
if now + life < tonumber(record.expires_at) then
  record.expires_at = text_of(now + life)
end
record.acked_send, record.line, record.code_source = sends, line, code_source
record.channel, record.driver, record.key_id, record.generation, record.code_digest, record.code_length, record.short,
  record.reference, record.caller_hint = unpack(asked, 11, 19)
return answer('done', write(record), failures)
