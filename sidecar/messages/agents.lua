--[[
Read which mailboxes a trace has, and how full some of them are.

KEYS[1]  agents, as mailbox.lua describes it
KEYS[i]  ready, later, leased, dead of a mailbox, of another one, and so on

Returns  {{agent, record, agent, record, ...}, how many messages there are in KEYS[2], in KEYS[3], ...}
]]
local answer = {redis.call('HGETALL', KEYS[1])}
for i = 2, #KEYS do
  answer[i] = redis.call('ZCARD', KEYS[i])
end
return answer
