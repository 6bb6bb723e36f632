--[[
Open a mailbox, or change its terms.

KEYS     as mailbox.lua describes them
ARGV[1]  how long everything is kept after its last use, milliseconds
ARGV[2]  agent
ARGV[3]  "<max_deliveries>\n<description>"

Returns  1 opened, 0 changed
]]
local created = redis.call('HSET', agents, ARGV[2], ARGV[3])
use(ARGV[1])
return created
