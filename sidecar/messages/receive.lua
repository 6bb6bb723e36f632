--[[
Lease the most urgent messages of a mailbox to whoever asks; what was leased to somebody who died comes back first.

KEYS     as mailbox.lua describes them
ARGV[1]  how long everything is kept after its last use, milliseconds
ARGV[2]  agent
ARGV[3]  how many messages at most
ARGV[4]  for how long they are leased, milliseconds
ARGV[5]  begin of the receipts, never used before
ARGV[6]  bytes after which no further message is taken

Returns  {0}  there is no such mailbox
         {1, due, given up, ...}: in how many milliseconds a message comes back by itself, -1 for none; the number of
              messages that were delivered as often as they may be and whose last lease has ended, for reject.lua;
              then for each of those: id, record, times delivered
              then for each message leased: its receipt, its record as in *messages*, how often it was delivered
]]
local most = most_deliveries(ARGV[2])
if not most then
  return {0}
end
local now, wanted, batch = now_ms(), tonumber(ARGV[3]), 100
local answer = {1, -1, 0}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, '-inf', whole(now), 'LIMIT', 0, batch)) do
  local delivery = delivery_of(id)
  if delivery.count >= most then
    answer[3] = answer[3] + 1
    answer[#answer + 1], answer[#answer + 2] = id, redis.call('HGET', messages, id)
    answer[#answer + 1] = delivery.count
  else
    redis.call('ZREM', leased, id)
    make_ready(id, delivery)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', whole(now), 'LIMIT', 0, batch)) do
  redis.call('ZREM', later, id)
  make_ready(id, delivery_of(id))
end

local bytes, limit = 0, tonumber(ARGV[6])
for _, id in ipairs(redis.call('ZRANGE', ready, 0, wanted - 1)) do
  local record, delivery = redis.call('HGET', messages, id), delivery_of(id)
  bytes = bytes + #record
  if bytes > limit and bytes > #record then
    break
  end
  delivery.count, delivery.receipt = delivery.count + 1, ARGV[5] .. ':' .. id
  note(id, delivery)
  redis.call('ZREM', ready, id)
  redis.call('ZADD', leased, whole(now + tonumber(ARGV[4])), id)
  answer[#answer + 1], answer[#answer + 2] = delivery.receipt, record
  answer[#answer + 1] = delivery.count
end
for _, key in ipairs({later, leased}) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  local due = first[2] and math.max(0, tonumber(first[2]) - now)
  if due and (answer[2] < 0 or due < answer[2]) then
    answer[2] = due
  end
end
use(ARGV[1])
return answer
