--[[
Read fields of hashes, and the one clock, at one moment.

KEYS[i]   a hash; the same one may stand twice
ARGV      for each key in turn: how many of its fields are read, then their names; "*" instead reads all of them

Returns   {seconds, microseconds, values of KEYS[1], values of KEYS[2], ...}: Redis TIME, then per key a list in the
          order asked for, false where there is none; for "*" field, value, field, value, ...
]]
local answer = redis.call('TIME')
local at = 1
for _, key in ipairs(KEYS) do
  if ARGV[at] == '*' then
    answer[#answer + 1] = redis.call('HGETALL', key)
    at = at + 1
  else
    local count = tonumber(ARGV[at])
    answer[#answer + 1] = redis.call('HMGET', key, unpack(ARGV, at + 1, at + count))
    at = at + 1 + count
  end
end
return answer
