-- needs records failures
-- The current record, with the failures under its budget.
local record, text = read(asked[4])
if not record then
  return answer('none')
end
return answer('done', text, select(2, failures_of(failure_key(record))))
