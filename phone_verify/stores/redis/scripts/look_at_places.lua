-- needs places
-- Return holder, request and response of each of these places, and empty texts for each that is free.
local found = {}
for n = 1, #KEYS do
  local place = place_at(KEYS[n]) or {holder = '', request = '', response = ''}
  found[n] = place.holder .. '\0' .. place.request .. '\0' .. place.response .. '\0'
end
return answer('done', table.concat(found))
