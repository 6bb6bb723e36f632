--[[
Store values, all of them or none.

KEYS[k]  the namespaces' hashes, as namespace.lua describes them
ARGV[1]  time to live after the last use, milliseconds
ARGV[2]  how many values a namespace may hold
ARGV[3]  bytes a value may take
ARGV[4]  bytes the values of a namespace may take
then for each value, no two under one field of one hash:
         k, field, JSON, the version there must be now: 0 for none, "" for any

Returns  {1, version, version, ...}  stored, in the order given
         {0, i, version, ...}        the i-th value has this other version, 0 for none, and so on for each such value;
                                     nothing was written
         {-1 to -4, number, i}       as refusal() of namespace.lua says of the i-th value; nothing was written
]]
local ttl_ms, limits = tonumber(ARGV[1]), limits_from(ARGV[2], ARGV[3], ARGV[4])
local outdated, kept, added, grown = {0}, {}, {}, {}
for at = 5, #ARGV, 4 do
  local i, k = (at - 1) / 4, tonumber(ARGV[at])
  kept[i] = now_kept(KEYS[k], ARGV[at + 1])
  local expected = ARGV[at + 3]
  if expected ~= '' and tonumber(expected) ~= kept[i].version then
    outdated[#outdated + 1], outdated[#outdated + 2] = i, kept[i].version
  end
end
if #outdated > 1 then
  return outdated
end
for at = 5, #ARGV, 4 do
  local i, k, size = (at - 1) / 4, tonumber(ARGV[at]), #ARGV[at + 2]
  local refused = refusal(kept[i], size, limits, added[k] or 0, grown[k] or 0)
  if refused then
    refused[3] = i
    return refused
  end
  added[k] = (added[k] or 0) + (kept[i].version == 0 and 1 or 0)
  grown[k] = (grown[k] or 0) + size - kept[i].size
end
local answer = {1}
for at = 5, #ARGV, 4 do
  answer[#answer + 1] = store(kept[(at - 1) / 4], ARGV[at + 2], ttl_ms)
end
return answer
