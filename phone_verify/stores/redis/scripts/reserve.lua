-- needs places
-- Return the first of these places that is taken, or take the first of them.
for n = 1, #KEYS do
  local place = place_at(KEYS[n])
  if place then
    return held(place)
  end
end
local place = {holder = asked[4], request = asked[5], response = ''}
put(KEYS[1], place, tonumber(asked[6]))
return held(place)
