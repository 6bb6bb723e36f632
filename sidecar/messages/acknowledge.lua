--[[
Take a message that was handled out of its mailbox.

KEYS     as mailbox.lua describes them
ARGV[1]  how long everything is kept after its last use, milliseconds
ARGV[2]  message id
ARGV[3]  receipt of its last delivery; good also after the lease, as long as it was not delivered again

Returns  1 done, 0 it is somebody else's or was settled before
]]
local delivery = delivery_of(ARGV[2])
if not delivery or delivery.receipt ~= ARGV[3] then
  return 0
end
redis.call('HDEL', deliveries, ARGV[2])
redis.call('ZREM', leased, ARGV[2])
redis.call('ZREM', ready, ARGV[2])
use(ARGV[1])
return 1
