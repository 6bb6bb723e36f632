--[[
Put a message into its receiver's mailbox.

KEYS     as mailbox.lua describes them, the mailbox being the receiver's
ARGV[1]  how long everything is kept after its last use, milliseconds
ARGV[2]  message id
ARGV[3]  priority, 1 to 10
ARGV[4]  the message, JSON without its timestamp
ARGV[5]  receiver
ARGV[6]  how many messages may wait in a mailbox, in whatever state
ARGV[7]  how many messages the trace keeps
ARGV[8]  how many bytes they may take

Returns  1   sent
         2   the very same message was sent before; nothing was written
         0   the receiver has no mailbox
         -1  another message was sent with this id
         -2  the mailbox is full
         -3  the trace is full of messages that nobody has handled
]]
local id, text = ARGV[2], ARGV[4]
local known = redis.call('HGET', messages, id)
if known then
  return string.sub(known, string.find(known, '\n', 1, true) + 1) == text and 2 or -1
end
if not most_deliveries(ARGV[5]) then
  return 0
end
local held = redis.call('ZCARD', ready) + redis.call('ZCARD', later) + redis.call('ZCARD', leased)
if held + redis.call('ZCARD', dead) >= tonumber(ARGV[6]) then
  return -2
end

local function is_full()
  local bytes = tonumber(redis.call('HGET', meta, 'bytes') or 0)
  return redis.call('ZCARD', log) >= tonumber(ARGV[7]) or bytes + #text > tonumber(ARGV[8])
end

-- The oldest messages leave the log where there is no room, but only those nobody waits for.
local start = 0
while is_full() do
  local oldest = redis.call('ZRANGE', log, start, start + 99)
  if #oldest == 0 then
    return -3
  end
  for _, each in ipairs(oldest) do
    if redis.call('HEXISTS', deliveries, each) == 1 then
      start = start + 1
    else
      local record = redis.call('HGET', messages, each)
      redis.call('HINCRBY', meta, 'bytes', string.find(record, '\n', 1, true) - #record)
      redis.call('HDEL', messages, each)
      redis.call('ZREM', log, each)
    end
  end
end
post(id, tonumber(ARGV[3]), text, now_ms(), ready, bell)
use(ARGV[1])
return 1
