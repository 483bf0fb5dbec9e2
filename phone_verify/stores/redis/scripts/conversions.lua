-- needs conversion_counts
-- Return the conversions of these routes, decayed to the present.
local counts = {}
for n = 1, #KEYS do
  local sent, verified, changed_at = conversion_at(KEYS[n])
  local left = math.exp(-math.max(now - changed_at, 0) / DECAY)
  counts[n] = string.format('%.17g %.17g', sent * left, verified * left)
end
return answer('done', table.concat(counts, '\0') .. '\0')
