-- needs records failures
-- Close an open record; if a generation is given, only of that one, without a code and without a
-- later order that waits for its receipt. Closing as verified clears the failures.
local id, status, generation = unpack(asked, 4, 6)
local record = read(id)
if not record or not is_open(record) or status == 'pending' then
  return answer('refused')
end
if generation ~= '' and (generation ~= record.generation or has_code(record)
    or tonumber(record.acked_send) < tonumber(record.sends)) then
  return answer('refused')
end
close(record, status)
write(record)
if status == 'verified' then
  succeed(record)
end
return answer('done')
