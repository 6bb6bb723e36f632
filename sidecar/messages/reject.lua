--[[
Take down that a delivery failed: it comes again after a while, or becomes a dead letter and its sender is told.

KEYS      as mailbox.lua describes them, and
KEYS[11]  ready of the sender's mailbox
KEYS[12]  bell of the sender's mailbox
ARGV[1]   how long everything is kept after its last use, milliseconds
ARGV[2]   message id
ARGV[3]   receipt of its last delivery; "" says instead that its last lease has ended
ARGV[4]   agent
ARGV[5]   1 if it may come again, 0 if not
ARGV[6]   after how long, milliseconds; "" for ARGV[7], doubled with every delivery, at most ARGV[8]
ARGV[7]   the shortest pause, milliseconds
ARGV[8]   the longest pause, milliseconds
ARGV[9]   reason
ARGV[10]  sender
ARGV[11]  id of the message that tells the sender; "" for none
ARGV[12]  that message, JSON without its timestamp
ARGV[13]  its priority

Returns  {0, 0}      it is somebody else's or was settled before; or its lease has not ended
         {1, pause}  it comes again after that many milliseconds
         {2, 0}      it is a dead letter
]]
redis.call('ZCARD', KEYS[11])  -- as mailbox.lua makes sure of the other keys
redis.call('LLEN', KEYS[12])
local id, receipt, now = ARGV[2], ARGV[3], now_ms()
local delivery, most = delivery_of(id), most_deliveries(ARGV[4])
if not delivery or not most then
  return {0, 0}
end
if receipt == '' then
  local ends = redis.call('ZSCORE', leased, id)
  if not ends or tonumber(ends) > now or delivery.count < most then
    return {0, 0}
  end
elseif delivery.receipt ~= receipt then
  return {0, 0}
end
redis.call('ZREM', leased, id)
redis.call('ZREM', ready, id)
delivery.receipt, delivery.reason = '', ARGV[9]
note(id, delivery)
if ARGV[5] == '1' and delivery.count < most then
  local pause = tonumber(ARGV[6]) or math.min(tonumber(ARGV[8]), tonumber(ARGV[7]) * 2 ^ (delivery.count - 1))
  redis.call('ZADD', later, whole(now + pause), id)
  use(ARGV[1])
  return {1, pause}
end
redis.call('ZADD', dead, whole(now), id)
if ARGV[11] ~= '' then
  local has_mailbox = redis.call('HEXISTS', agents, ARGV[10]) == 1
  post(ARGV[11], tonumber(ARGV[13]), ARGV[12], now, has_mailbox and KEYS[11], KEYS[12])
end
use(ARGV[1])
return {2, 0}
