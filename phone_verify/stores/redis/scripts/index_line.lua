-- needs lines
-- Add a claim to the index of its line, in a Cluster; elsewhere `attach` does it.
index_line(KEYS[1], asked[4], asked[5])
return answer('done')
