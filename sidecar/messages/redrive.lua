--[[
Put dead letters back into their mailbox, each in its old place in line.

KEYS     as mailbox.lua describes them
ARGV[1]  how long everything is kept after its last use, milliseconds
ARGV[2]  how many at most
ARGV[i]  ids of the messages; none: the oldest ones

Returns  how many
]]
local ids = {unpack(ARGV, 3)}
if #ids == 0 then
  ids = redis.call('ZRANGE', dead, 0, tonumber(ARGV[2]) - 1)
end
local done = 0
for _, id in ipairs(ids) do
  if redis.call('ZREM', dead, id) == 1 then
    local delivery = delivery_of(id)
    delivery.count = 0
    note(id, delivery)
    make_ready(id, delivery)
    done = done + 1
  end
end
use(ARGV[1])
return done
