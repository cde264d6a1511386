-- KEYS[1]: how many attempts there were; ARGV: those without a delay, the first delay, the largest
-- delay, how long attempts are remembered (ms). Counts one more and answers 0, or answers how long to
-- wait, ms. When the last one was is told by what is left of the key's life, so that no node's clock
-- matters.
local count = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local forget = tonumber(ARGV[4])
local doublings = count - tonumber(ARGV[1])
if doublings >= 0 then
  local delay = math.min(tonumber(ARGV[2]) * 2 ^ math.min(doublings, 20), tonumber(ARGV[3]))
  local left = redis.call('PTTL', KEYS[1])
  if left > forget then
    -- Redis' clock was set back, or another node remembers longer.
    redis.call('PEXPIRE', KEYS[1], forget)
    left = forget
  end
  local wait = delay - (forget - left)
  if wait > 0 then
    return math.ceil(wait)
  end
end
redis.call('SET', KEYS[1], count + 1, 'PX', forget)
return 0
