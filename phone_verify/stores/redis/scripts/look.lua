-- needs tally
-- What the site and an address have answered: sums of short and right answers, count and end of the
-- address. For a Cluster.
local sums, count, ends_at = tally_at(KEYS[1]), wrong_of(KEYS[2])
return answer('done', table.concat({sums.short, sums.right, count, text_of(ends_at), ''}, '\0'))
