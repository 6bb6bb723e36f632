--[[
Write what was decided, all of it or nothing.

KEYS[i]   every hash and sorted set that is touched
ARGV      parts in this order, each begun by how many there are of it; k is the number of a key. First what must hold:
            check   k field version        the document's version is still this one; "0": there is none
            bound   at_most delta n, then n times k field      the counters' sum plus delta does not pass at_most
          then what is written, the first and the last of it only if they are still of the version named:
            put     k field version text   text = new version, newline, document
            add     k field delta          to a counter
            rank    k member score         in a sorted set
            delete  k field version
            unrank  k member
            expire  k milliseconds         from now; "0": for good; below: gone at once

Returns   1 written, 0 something no longer holds and nothing was written

Counters are whole numbers below 2^53, which Lua's numbers hold exactly.
]]
local at = 1

local function part(width)
  local first, last = at + 1, at + width * tonumber(ARGV[at])
  at = last + 1
  return first, last, width
end

local function key(i)
  return KEYS[tonumber(ARGV[i])]
end

local function stands(i)
  local text = redis.call('HGET', key(i), ARGV[i + 1])
  local version = ARGV[i + 2]
  if not text then
    return version == '0'
  end
  return string.sub(text, 1, #version + 1) == version .. '\n'
end

local function all_stand(first, last, width)
  for i = first, last, width do
    if not stands(i) then
      return false
    end
  end
  return true
end

if not all_stand(part(3)) then
  return 0
end
local bounds = tonumber(ARGV[at])
at = at + 1
for _ = 1, bounds do
  local sum, last = tonumber(ARGV[at + 1]), at + 2 + 2 * tonumber(ARGV[at + 2])
  for i = at + 3, last, 2 do
    sum = sum + tonumber(redis.call('HGET', key(i), ARGV[i + 1]) or 0)
  end
  if sum > tonumber(ARGV[at]) then
    return 0
  end
  at = last + 1
end

local put, put_last = part(4)
local add, add_last = part(3)
local rank, rank_last = part(3)
local delete, delete_last = part(3)
local unrank, unrank_last = part(2)
if not (all_stand(put, put_last, 4) and all_stand(delete, delete_last, 3)) then
  return 0
end
-- A key of another type, or a counter that is no number, is refused when it is touched, which must not be after something
-- else is written.
for i = add, add_last, 3 do
  local counter = redis.call('HGET', key(i), ARGV[i + 1])
  if counter and not string.find(counter, '^-?%d+$') then
    return redis.error_reply('ERR hash value is not an integer')
  end
end
for i = rank, rank_last, 3 do
  redis.call('ZCARD', key(i))
end
for i = unrank, unrank_last, 2 do
  redis.call('ZCARD', key(i))
end
for i = put, put_last, 4 do
  redis.call('HSET', key(i), ARGV[i + 1], ARGV[i + 3])
end
for i = add, add_last, 3 do
  redis.call('HINCRBY', key(i), ARGV[i + 1], ARGV[i + 2])
end
for i = rank, rank_last, 3 do
  redis.call('ZADD', key(i), ARGV[i + 2], ARGV[i + 1])
end
for i = delete, delete_last, 3 do
  redis.call('HDEL', key(i), ARGV[i + 1])
end
for i = unrank, unrank_last, 2 do
  redis.call('ZREM', key(i), ARGV[i + 1])
end
local expire, expire_last = part(2)
for i = expire, expire_last, 2 do
  if ARGV[i + 1] == '0' then
    redis.call('PERSIST', key(i))
  else
    redis.call('PEXPIRE', key(i), ARGV[i + 1])
  end
end
return 1
