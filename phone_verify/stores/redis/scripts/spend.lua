-- needs records failures
-- Take an attempt, compare, close when right or out of attempts, count or clear the failures; or say why not.
local id, binding, length, most, most_short = unpack(asked, 4, 8)
local record, text = read(id)
if not record or record.binding ~= binding then
  return answer('unbound')
end
local failures, rest = failing(budget(record))
local function refused(why, wait)
  return answer(why, text, failures, wait)
end

local attempts_left = tonumber(record.attempts_left)
if not is_open(record) or attempts_left < 1 then
  return refused('closed')
end
local remote = record.holder == 'remote'
if record.holder == 'nobody' or (record.code_digest == '' and not remote) then
  return refused('no_code')
end
if length == '0' or (record.code_length ~= '' and record.code_length ~= length) then
  return refused('other_length')
end
local why, wait = locked(failures, rest, most, most_short, record.short)
if why then
  return refused(why, wait)
end

record.attempts_left = attempts_left - 1
if not remote and shown_from(9)[record.code_digest] then
  close(record, 'verified')
  text = write(record)
  if failures > 0 then
    redis.call('HDEL', KEYS[1], 'f' .. budget(record))
  end
  return answer('right', text)
end
if not remote and attempts_left == 1 then
  close(record, 'exhausted')
end
if remote then
  record.unjudged = record.unjudged + 1
end
text = stored(record)
redis.call('HSET', KEYS[1], 'r' .. id, text, 'f' .. budget(record), failures + 1 .. ' ' .. now_text)
hold(FAILURE_MEMORY)
return answer(remote and 'taken' or 'wrong', text, failures + 1)
