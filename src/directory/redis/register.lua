-- KEYS[1]: the sessions of a user; ARGV: class, record, how long the key lives (ms).
-- The higher epoch of a class wins. Answers 0 if this one lost, 1 if it is live, or the record that
-- it replaced. A record is "epoch node boot store_epoch": epochs of another store do not compare.
-- Epochs are compared as decimal numerals, because Lua's numbers are exact up to 2^53 only.
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old and old ~= ARGV[2] then
  local old_epoch, old_store = string.match(old, '^(%d+) %d+ %d+ (%d+)$')
  local epoch, store = string.match(ARGV[2], '^(%d+) %d+ %d+ (%d+)$')
  if old_store == store
    and (#old_epoch > #epoch or (#old_epoch == #epoch and old_epoch > epoch)) then
    return 0
  end
end
if old ~= ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if old and old ~= ARGV[2] then
  return old
end
return 1
