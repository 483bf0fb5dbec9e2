-- needs records failures
-- Burn the proof of a verified record: exactly once, within five minutes.
local id, binding = asked[4], asked[5]
local record = read(id)
if not record or record.binding ~= binding or record.status ~= 'verified' or record.redeemed ~= ''
    or now >= record.closed_at + PROOF_LIFE or now < record.closed_at - CLOCK_SLACK then
  return answer('none')
end
record.redeemed = '1'
return answer('done', write(record), (failing(budget(record))))
