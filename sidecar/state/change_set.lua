--[[
Add members to a set and remove others: a list in which none stands twice, and which starts empty.

KEYS[1]  the namespace's hash, as namespace.lua describes it
ARGV[1]  field
ARGV[2]  time to live after the last use, milliseconds
ARGV[3]  how many values the namespace may hold
ARGV[4]  bytes a value may take
ARGV[5]  bytes the values of the namespace may take
ARGV[6]  how many of the members that follow are to be added
ARGV[i]  members as JSON: those to add, then those to remove

Returns  {1, version, size, added, removed}  as it is now; where nothing changed, nothing was written
         {0, version}                        what is there is no list; nothing was written
         {-1, -3 or -4, ...}                 as refusal() of namespace.lua says; nothing was written
]]
local kept, to_add = now_kept(KEYS[1], ARGV[1]), 6 + tonumber(ARGV[6])
if kept.text and not is_list(kept.text) then
  return {0, kept.version}
end
local order, there, added, removed = items_of(kept.text or '[]'), {}, 0, 0
for _, member in ipairs(order) do
  there[member] = true
end
for i = 7, to_add do
  if not there[ARGV[i]] then
    there[ARGV[i]], order[#order + 1], added = true, ARGV[i], added + 1
  end
end
for i = to_add + 1, #ARGV do
  if there[ARGV[i]] then
    there[ARGV[i]], removed = false, removed + 1
  end
end
local members = {}
for _, member in ipairs(order) do
  if there[member] then
    there[member], members[#members + 1] = false, member
  end
end
if added + removed == 0 then
  use(kept)
  return {1, kept.version, #members, 0, 0}
end
local text = '[' .. table.concat(members, ',') .. ']'
local refused = refusal(kept, #text, limits_from(ARGV[3], ARGV[4], ARGV[5]), 0, 0)
if refused then
  return refused
end
return {1, store(kept, text, tonumber(ARGV[2]), #members), #members, added, removed}
