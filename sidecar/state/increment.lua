--[[
Add to a whole number, which starts at 0.

KEYS[1]  the namespace's hash, as namespace.lua describes it
ARGV[1]  field
ARGV[2]  time to live after the last use, milliseconds
ARGV[3]  how many values the namespace may hold
ARGV[4]  bytes a value may take
ARGV[5]  bytes the values of the namespace may take
ARGV[6]  what to add, a whole number of at most 2^53 either way

Returns  {1, version, number}  stored; the number as text
         {0, version}          what is there is no whole number of at most 2^53; nothing was written
         {-2, version}         the sum would pass 2^53; nothing was written
         {-1, -3 or -4, ...}   as refusal() of namespace.lua says; nothing was written

Lua's numbers are doubles: exact up to 2^53, hence the bound.
]]
local kept, by = now_kept(KEYS[1], ARGV[1]), tonumber(ARGV[6])
local bound, number = 9007199254740992, 0
if kept.text then
  local digits = string.match(kept.text, '^-?%d+$')
  -- A number beyond the bound is rounded when it is read, or is too large.
  if not digits or string.format('%.0f', tonumber(digits)) ~= digits or math.abs(tonumber(digits)) > bound then
    return {0, kept.version}
  end
  number = tonumber(digits)
end
-- Compared before adding: beyond the bound a sum may be rounded back onto it.
if (by > 0 and number > bound - by) or (by < 0 and number < -bound - by) then
  return {-2, kept.version}
end
local text = string.format('%.0f', number + by)
local refused = refusal(kept, #text, limits_from(ARGV[3], ARGV[4], ARGV[5]), 0, 0)
if refused then
  return refused
end
return {1, store(kept, text, tonumber(ARGV[2])), text}
