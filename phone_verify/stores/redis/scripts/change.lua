-- needs tally
-- Write what an answer changes in the tally and for its address. For a Cluster.
local short, long, right, address = unpack(asked, 4, 7)
tally_change(KEYS[1], {short = tonumber(short), long = tonumber(long), right = tonumber(right)})
if #KEYS > 1 and address ~= '0' then
  wrong_change(KEYS[2], tonumber(address))
end
return answer('done')
