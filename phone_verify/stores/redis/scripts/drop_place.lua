-- Free this place, regardless of who took it.
redis.call('DEL', KEYS[1])
return answer('done')
