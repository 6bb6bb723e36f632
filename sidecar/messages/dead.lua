--[[
Read dead letters, the oldest first.

KEYS     as mailbox.lua describes them
ARGV[1]  agent
ARGV[2]  how many at most

Returns  {0}  there is no such mailbox
         {1, how many there are, ...}: then for each one read when it died, unix ms; its record as in *messages*;
              how often it was delivered; the reason
]]
if not most_deliveries(ARGV[1]) then
  return {0}
end
local answer = {1, redis.call('ZCARD', dead)}
local found = redis.call('ZRANGE', dead, 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local delivery = delivery_of(found[i])
  answer[#answer + 1], answer[#answer + 2] = found[i + 1], redis.call('HGET', messages, found[i])
  answer[#answer + 1], answer[#answer + 2] = delivery.count, delivery.reason
end
return answer
