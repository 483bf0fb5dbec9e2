-- The ids in the index of a line that have not expired, and one more than is of use.
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now_text, '+inf', 'LIMIT', 0, MOST_CLAIMANTS + 1)
ids[#ids + 1] = ''
return answer('done', table.concat(ids, '\0'))
