-- needs records failures
-- Burn the proof of a verified record: exactly once, within five minutes.
local id, binding, subject = unpack(asked, 4, 6)
local record = read(id)
if not record or record.binding ~= binding or record.status ~= 'verified' or record.redeemed ~= ''
    or now >= record.closed_at + PROOF_LIFE or now < record.closed_at - CLOCK_SLACK then
  return answer('none')
end
-- Who is signed in decides for every purpose but those that sign in.
if record.purpose ~= 'login' and record.purpose ~= 'signup' and record.subject ~= subject then
  return answer('none')
end
record.redeemed = '1'
return answer('done', write(record), select(2, failures_of(failure_key(record))))
