-- needs places
-- Keep a response in the place that this holder took, and in the other one if there is one.
local place = place_at(KEYS[1])
if not place or place.holder ~= asked[4] then
  return answer('none')
end
place.response = asked[5]
for n = 1, #KEYS do
  put(KEYS[n], place, KEPT_FOR)
end
return answer('done')
