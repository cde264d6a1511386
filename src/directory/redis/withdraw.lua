-- KEYS[1]: the lease of a node; ARGV: boot. Gives the lease up if that boot has it.
if redis.call('HGET', KEYS[1], 'boot') == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
