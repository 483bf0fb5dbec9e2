-- Delete all data of the phone; its index has sixty characters for each record. The names of its
-- places are returned: their keys may be on other servers.
local records = redis.call('HSTRLEN', KEYS[1], 'index') / 60
local names = redis.call('HKEYS', KEYS[2])
redis.call('DEL', KEYS[1], KEYS[2])
return answer('done', table.concat({records, unpack(names)}, '\0') .. '\0')
