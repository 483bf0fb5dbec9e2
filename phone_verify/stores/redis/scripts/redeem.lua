-- needs records failures
-- Invalidate the proof of a verified record: exactly once, within five minutes.
local id, binding, subject = unpack(asked, 4, 6)
local record = read(id)
if not record or record.binding ~= binding or record.status ~= 'verified' or record.redeemed ~= ''
    or now >= record.closed_at + PROOF_LIFE or now < record.closed_at - CLOCK_SLACK then
  return answer('none')
end
-- For every purpose except sign-in, the signed-in user must match.
if record.purpose ~= 'login' and record.purpose ~= 'signup' and record.subject ~= subject then
  return answer('none')
end
record.redeemed = '1'
return answer('done', write(record), select(2, failures_of(failure_key(record))))
