-- needs records
-- Reserve the right to poll the provider about an open claim. A webhook (no binding) that comes too
-- soon still has news: it makes the next status request poll.
local id, binding = asked[4], asked[5]
local record = read(id)
if not record or (binding ~= '' and binding ~= record.binding) or not is_open(record) or not claim_of(record) then
  return answer('refused')
end
local too_soon = record.polled_at ~= '' and record.polled_at + POLL_INTERVAL > now
if too_soon and binding ~= '' then
  return answer('refused')
end
record.polled_at = too_soon and '' or now_text
write(record)
return answer(too_soon and 'refused' or 'done')
