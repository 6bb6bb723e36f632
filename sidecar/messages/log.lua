--[[
Read messages of a trace in the order in which they were sent.

KEYS[1]  messages, as mailbox.lua describes it
KEYS[2]  log
ARGV[1]  the number of the last message read before
ARGV[2]  how many at most

Returns  {the number of the last one read, or ARGV[1]; record, record, ...}
]]
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local answer = {tonumber(found[#found] or ARGV[1])}
for i = 1, #found, 2 do
  answer[#answer + 1] = redis.call('HGET', KEYS[1], found[i])
end
return answer
