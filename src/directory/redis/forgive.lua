-- KEYS[1]: how many attempts there were; ARGV: whether all of them are forgiven (0 or 1), how long the
-- rest is remembered (ms): less than after an attempt by the largest delay, so that the next one need
-- not wait.
local count = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if ARGV[1] == '1' or count <= 1 then
  return redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[1], count - 1, 'PX', ARGV[2])
return 0
