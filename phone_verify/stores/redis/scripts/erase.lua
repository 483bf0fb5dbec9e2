-- Delete all data of the phone; its index has sixty characters for each record.
local records = redis.call('HSTRLEN', KEYS[1], 'index') / 60
redis.call('DEL', KEYS[1])
return answer('done', records .. '\0')
