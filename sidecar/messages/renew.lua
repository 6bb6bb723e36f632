--[[
Let a lease last longer.

KEYS     as mailbox.lua describes them
ARGV[1]  how long everything is kept after its last use, milliseconds
ARGV[2]  message id
ARGV[3]  receipt of its last delivery
ARGV[4]  how long it is leased from now, milliseconds

Returns  1 renewed, 0 it is not leased under this receipt any more
]]
local delivery = delivery_of(ARGV[2])
if not delivery or delivery.receipt ~= ARGV[3] or not redis.call('ZSCORE', leased, ARGV[2]) then
  return 0
end
redis.call('ZADD', leased, whole(now_ms() + tonumber(ARGV[4])), ARGV[2])
use(ARGV[1])
return 1
