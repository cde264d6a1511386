-- KEYS[1]: the sessions of a user; ARGV: class, record. Removes the record if it is still there.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
