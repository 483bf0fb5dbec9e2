-- needs counters tally shared
-- Count one send under each shared quota: either all, or none with the time to retry.
local windows, wait = shared_windows(1, 4)
if not windows then
  return answer('quota', nil, nil, wait)
end
return answer('done', count_shared(windows, tally_at(KEYS[#KEYS])))
