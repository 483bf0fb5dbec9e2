-- needs records failures siblings lines
-- Put a receipt on an open record: never resets attempts, never extends the expiry. A code replaces
-- the code, a claim the claim; one of the other kind stays live. A line that another claim of the
-- phone holds closes the record as failed, unless it can be verified without this receipt or is leased.
local id, sends, status, line, code_source, attempts, life, channel = unpack(asked, 4, 11)
local record, text = read(id)
if not record then
  return answer('closed')
end
local _, failures = failures_of(failure_key(record))
if not is_open(record) then
  return answer('closed', text, failures)
end
local by_call, claim = code_source == 'nobody', claim_of(record)
local claim_send = claim and tonumber(claim.send) or 0
local code_send = has_code(record) and tonumber(record.acked_send) or 0
if tonumber(sends) < (by_call and claim_send or code_send) then
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
  local shown = shown_from(22)
  -- Calls of such a claim may be reported without a line, and would fit each other's.
  local any_line = asked[20] ~= ''
  local function claims(sibling)
    local its_claim = claim_of(sibling)
    if not its_claim or its_claim.line == '' then
      return false
    end
    return its_claim.line == line
      or any_line and its_claim.reference == '' and its_claim.driver == asked[12]
  end
  local function holds_line(sibling)
    local claimed = claims(sibling)
    local same = claimed or sibling.line == line
    local live = same and is_open(sibling)
    if not by_call then
      -- A code that is held back until its phone calls: the call would also prove an open claim.
      return live and claimed and not shown[sibling.binding]
    end
    if live then
      return true
    end
    local ended_at = sibling.closed_at ~= '' and sibling.closed_at or sibling.expires_at
    local code_first = sibling.status == 'verified' and has_code(sibling) and sibling.by_call == ''
    if claimed and (sibling.by_pair ~= '' or code_first) and now < ended_at + PAIR_REST then
      -- The provider may repeat its webhook, which would prove this claim too.
      local same_user = record.subject ~= '' and record.subject == sibling.subject
      return not (record.trusted ~= '' or same_user or shown[sibling.binding])
    end
    local rests = same and now < ended_at + LINE_REST
    for _, old in ipairs(lines_released(sibling)) do
      rests = rests or ((any_line or '=' .. old.line == line) and now < old.at + LINE_REST)
    end
    return rests and not shown[sibling.binding]
  end
  local index = redis.call('HGET', KEYS[1], 'index') or ''
  for _, sibling in ipairs(siblings(index, now - PAIR_REST)) do
    if sibling.id ~= id and sibling.phone == record.phone and holds_line(sibling) then
      local claim_is_live = claim ~= nil and claim.line ~= ''
      if asked[21] ~= '' or by_call and has_code(record) or not by_call and claim_is_live then
        return answer('line_taken', text, failures)
      end
      close(record, 'failed')
      return answer('line_taken', write(record), failures)
    end
  end
end

local old_lines = {record.line, record.claim_line}
local latest = tonumber(sends) >= math.max(claim_send, code_send)
local code_channel = not latest and record.code_channel or record.code_channel ~= '' and record.code_channel or record.channel
if latest and channel ~= record.channel then
  local wait = wait_on(waits_of(record), channel)
  record.channel, record.resend_at = channel, wait and text_of(wait.at) or record.resend_at
end
if by_call and has_code(record) then
  record.code_channel = code_channel
  record.claim_driver, record.claim_reference, record.claim_line, record.claim_send = asked[12], asked[18], line, sends
else
  if not by_call and claim and not has_code(record) and (claim.reference ~= '' or claim.line ~= '') then
    record.claim_driver, record.claim_reference, record.claim_line, record.claim_send =
      claim.driver, claim.reference, claim.line, claim.send
  end
  record.code_channel = latest and '' or channel
  record.acked_send, record.line, record.code_source = sends, line, code_source
  record.driver, record.key_id, record.generation, record.code_digest, record.code_length, record.short,
    record.reference, record.caller_hint = unpack(asked, 12, 19)
end

local released_lines = {}
for _, old in ipairs(lines_released(record)) do
  released_lines[#released_lines + 1] = old.line .. '@' .. text_of(old.at)
end
for _, old in ipairs(old_lines) do
  if old ~= '' and old ~= record.line and old ~= record.claim_line then
    released_lines[#released_lines + 1] = string.sub(old, 2) .. '@' .. now_text
  end
end
record.released_lines = table.concat(released_lines, ' ', math.max(1, #released_lines - MOST_RELEASED + 1))

if record.status == 'pending' then
  record.status = status
end
record.attempts_left = math.min(record.attempts_left, attempts)
if now + life < tonumber(record.expires_at) then
  record.expires_at = text_of(now + life)
end
local written = write(record)
if KEYS[2] then
  index_line(KEYS[2], id, record.expires_at)
end
return answer('done', written, failures)
