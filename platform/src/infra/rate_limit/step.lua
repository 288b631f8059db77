-- One step of GCRA, as gcra() in mod.rs has it, by this server's clock.
-- KEYS[1]: the count; its value is the instant at which the whole quota has come back, in microseconds.
-- ARGV: microseconds between two, microseconds of the whole quota, the step.
-- Answers whether there was room, and how many microseconds of the quota are spent now.
local interval, whole, step = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local full_at = tonumber(redis.call('GET', KEYS[1])) or now
full_at = math.min(math.max(full_at, now), now + whole)
local room = full_at + interval <= now + whole
local next = full_at
if step == 'take' and room then
  next = full_at + interval
elseif step == 'count' then
  next = math.min(full_at + interval, now + whole)
elseif step == 'give back' then
  next = math.max(full_at - interval, now)
end
if next ~= full_at then
  -- rounded up: a count that ends too early would be a gift
  redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.max(1, math.ceil((next - now) / 1000)))
end
return { room and 1 or 0, next - now }
