-- Records. Every value is a text, or a small number.

local function record_of(text)
  local id, phone, purpose, service, binding, locale, channel, driver, code_source, key_id, generation, code_digest,
    code_length, short, reference, line, caller_hint, acked_send, status, attempts_left, sends, redeemed, released_lines, trusted,
    pending_checks, created_at, expires_at, resend_at, closed_at, polled_at, more =
      struct.unpack('ssssssssssssssssssssssssssssss', text)
  -- Records written before these values were added end here.
  local subject, budget, mistakes, tallied_short, tallied_long, by_pair = '', '', '0', '0', '0', ''
  if more <= #text then
    subject, budget, mistakes, tallied_short, tallied_long, by_pair, more = struct.unpack('ssssss', text, more)
  end
  local claim_driver, claim_reference, claim_line, claim_send, code_channel, waits, by_call = '', '', '', '0', '', '', ''
  if more <= #text then
    claim_driver, claim_reference, claim_line, claim_send, code_channel, waits, by_call, more =
      struct.unpack('sssssss', text, more)
  end
  local proved_channels, other_caller_at = '', ''
  if more <= #text then
    proved_channels, other_caller_at, more = struct.unpack('ss', text, more)
  end
  local attestation, access_key, channels = '', '', ''
  if more <= #text then
    attestation, more = struct.unpack('s', text, more)
  end
  if more <= #text then
    access_key, channels = struct.unpack('ss', text, more)
  end
  return {
    id = id, phone = phone, purpose = purpose, service = service, binding = binding, locale = locale,
    channel = channel, driver = driver, code_source = code_source, key_id = key_id, generation = generation,
    code_digest = code_digest, code_length = code_length, short = short, reference = reference, line = line,
    caller_hint = caller_hint, acked_send = acked_send, status = status, attempts_left = attempts_left, sends = sends,
    redeemed = redeemed, released_lines = released_lines, trusted = trusted, pending_checks = pending_checks, created_at = created_at,
    expires_at = expires_at, resend_at = resend_at, closed_at = closed_at, polled_at = polled_at, subject = subject,
    budget = budget, mistakes = mistakes, tallied_short = tallied_short, tallied_long = tallied_long, by_pair = by_pair,
    claim_driver = claim_driver, claim_reference = claim_reference, claim_line = claim_line, claim_send = claim_send,
    code_channel = code_channel, waits = waits, by_call = by_call, proved_channels = proved_channels,
    other_caller_at = other_caller_at, attestation = attestation, access_key = access_key, channels = channels,
  }
end

local function stored(record)
  return table.concat({
    record.id, record.phone, record.purpose, record.service, record.binding, record.locale, record.channel,
    record.driver, record.code_source, record.key_id, record.generation, record.code_digest, record.code_length,
    record.short, record.reference, record.line, record.caller_hint, record.acked_send, record.status,
    record.attempts_left, record.sends, record.redeemed, record.released_lines, record.trusted, record.pending_checks,
    record.created_at, record.expires_at, record.resend_at, record.closed_at, record.polled_at, record.subject,
    record.budget, record.mistakes, record.tallied_short, record.tallied_long, record.by_pair,
    record.claim_driver, record.claim_reference, record.claim_line, record.claim_send, record.code_channel, record.waits,
    record.by_call, record.proved_channels, record.other_caller_at, record.attestation,
    record.access_key, record.channels, '',
  }, '\0')
end

-- The budget that its wrong answers are counted under.
local function counts_as(record)
  if record.budget ~= '' then
    return record.budget
  end
  if record.purpose == 'second_factor' then
    return 'second_factor'
  end
  return (record.purpose == 'login' or record.purpose == 'signup' or record.subject == '') and 'sign_in' or 'signed_in'
end

-- The budgets of purposes that require several channels, by their name while a channel is left.
local WHOLE = {sign_in_part = 'sign_in_all', signed_in_part = 'signed_in_all'}

local function whole(budget)
  return WHOLE[budget] or budget
end

-- The name under which a service keeps the failures of a budget; all share those of a test number.
local function of_service(record, name)
  return (record.service == 'default' or name == 'test_number') and name or record.service .. '/' .. name
end

-- The name under which they are kept; trusted devices have separate budgets.
local function failure_key(record)
  local name = of_service(record, whole(counts_as(record)))
  return record.trusted ~= '' and name ~= 'test_number' and name .. '+trusted' or name
end

local function has_code(record)
  return record.code_source ~= 'nobody'
end

-- The call that can verify the record, alone or with a code; nil for a code alone.
local function claim_of(record)
  if not has_code(record) then
    return {driver = record.driver, reference = record.reference, line = record.line, send = record.acked_send}
  end
  if record.claim_driver ~= '' then
    return {
      driver = record.claim_driver, reference = record.claim_reference, line = record.claim_line,
      send = record.claim_send,
    }
  end
end

-- The sends by channel, and when the next is allowed: "channel:count@time channel:count@time". A
-- record with one channel so far has none.
local function waits_of(record)
  local waits = {}
  for channel, count, at in string.gmatch(record.waits, '(%S+):(%d+)@(%d+)') do
    waits[#waits + 1] = {channel = channel, count = tonumber(count), at = tonumber(at)}
  end
  if #waits == 0 then
    waits[1] = {channel = record.channel, count = tonumber(record.sends), at = tonumber(record.resend_at)}
  end
  return waits
end

-- The wait of one channel among them, or nil.
local function wait_on(waits, channel)
  for _, wait in ipairs(waits) do
    if wait.channel == channel then
      return wait
    end
  end
end

local function is_open(record)
  return (record.status == 'pending' or record.status == 'sent') and now < tonumber(record.expires_at)
    and tonumber(record.created_at) - CLOCK_SLACK <= now
end

local function close(record, status)
  record.status, record.closed_at = status, now_text
end

-- The record with this id, and its stored form; nil if there is none or its retention has ended.
local function read(id)
  local text = redis.call('HGET', KEYS[1], 'r' .. id)
  local record = text and record_of(text)
  if not record or tonumber(record.expires_at) + keep <= now then
    return nil
  end
  return record, text
end

local function write(record)
  local text = stored(record)
  redis.call('HSET', KEYS[1], 'r' .. record.id, text)
  return text
end

-- Extend the time to live of the phone's key to at least this.
local function hold(micros)
  local millis = math.ceil(micros / 1000)
  if redis.call('PTTL', KEYS[1]) < millis then
    redis.call('PEXPIRE', KEYS[1], millis)
  end
end

-- The arguments from this position on.
local function shown_from(first)
  local shown = {}
  for n = first, #asked do
    shown[asked[n]] = true
  end
  return shown
end
