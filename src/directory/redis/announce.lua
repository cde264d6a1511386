-- KEYS[1]: the lease of a node; ARGV: boot, whether it is this boot's first announcement (0 or 1), how
-- long the lease lives (ms), then fields and values. Answers the boot that had the lease, if any.
-- The first announcement takes the lease over; later ones leave that of another boot alone, so that
-- a process that slept does not push out its successor.
local boot = redis.call('HGET', KEYS[1], 'boot')
if boot and boot ~= ARGV[1] and ARGV[2] == '0' then
  return boot
end
redis.call('HSET', KEYS[1], 'boot', ARGV[1], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return boot
