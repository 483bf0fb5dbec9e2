-- needs places
-- Free the place that this holder took.
local place = place_at(KEYS[1])
if place and place.holder == asked[4] then
  redis.call('DEL', KEYS[1])
end
return answer('done')
