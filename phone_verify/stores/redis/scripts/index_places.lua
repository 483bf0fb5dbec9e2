-- Note the names of places with data of this phone, so that `erase` finds them.
for n = 4, #asked do
  redis.call('HSET', KEYS[1], asked[n], '')
end
redis.call('PEXPIRE', KEYS[1], math.ceil((KEPT_FOR + RESERVED_FOR) / 1000))
return answer('done')
