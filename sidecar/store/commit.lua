--[[
Write what was decided, all of it or nothing.

KEYS[i]   every hash and sorted set the operations touch
ARGV      operations one after another, k being the number of a key. First what must hold:
            check  k field version      the document's version is still this one; "0": there is none
            bound  at_most delta n, then n times k field      the counters' sum plus delta does not pass at_most
          then what is written:
            put    k field text         text = version, newline, document
            add    k field delta        to a counter
            rank   k member score       in a sorted set
            delete k field
            unrank k member
            expire k milliseconds       from now; "0": for good

Returns   1 written, 0 something no longer holds and nothing was written

Counters are whole numbers below 2^53, which Lua's numbers hold exactly.
]]
local function version(text)
  return text and string.sub(text, 1, string.find(text, '\n', 1, true) - 1) or '0'
end

local at = 1
while at <= #ARGV do
  local operation = ARGV[at]
  if operation == 'bound' then
    local sum, last = tonumber(ARGV[at + 2]), at + 3 + 2 * tonumber(ARGV[at + 3])
    for i = at + 4, last, 2 do
      sum = sum + tonumber(redis.call('HGET', KEYS[tonumber(ARGV[i])], ARGV[i + 1]) or 0)
    end
    if sum > tonumber(ARGV[at + 1]) then
      return 0
    end
    at = last + 1
  else
    local key, name, value = KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2], ARGV[at + 3]
    if operation == 'check' then
      if version(redis.call('HGET', key, name)) ~= value then
        return 0
      end
      at = at + 4
    elseif operation == 'put' then
      redis.call('HSET', key, name, value)
      at = at + 4
    elseif operation == 'add' then
      redis.call('HINCRBY', key, name, value)
      at = at + 4
    elseif operation == 'rank' then
      redis.call('ZADD', key, value, name)
      at = at + 4
    elseif operation == 'delete' then
      redis.call('HDEL', key, name)
      at = at + 3
    elseif operation == 'unrank' then
      redis.call('ZREM', key, name)
      at = at + 3
    elseif name == '0' then
      redis.call('PERSIST', key)
      at = at + 3
    else
      redis.call('PEXPIRE', key, name)
      at = at + 3
    end
  end
end
return 1
