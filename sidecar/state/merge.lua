--[[
Merge a patch into an object, which starts empty (JSON merge patch, RFC 7386).

KEYS[1]  the namespace's hash, as namespace.lua describes it
ARGV[1]  field
ARGV[2]  time to live after the last use, milliseconds
ARGV[3]  how many values the namespace may hold
ARGV[4]  bytes a value may take
ARGV[5]  bytes the values of the namespace may take
ARGV[6]  the patch, a JSON object

Returns  {1, version, JSON}   stored
         {0, version}         what is there is no object; nothing was written
         {-1, -3 or -4, ...}  as refusal() of namespace.lua says; nothing was written
]]
local function merged(target, patch)
  if not is_object(patch) then
    return patch
  end
  local names, values = members_of(target and is_object(target) and target or '{}')
  local patched, changes = members_of(patch)
  for _, name in ipairs(patched) do
    if changes[name] == 'null' then
      values[name] = nil
    else
      if values[name] == nil then
        names[#names + 1] = name
      end
      values[name] = merged(values[name], changes[name])
    end
  end
  local parts = {}
  for _, name in ipairs(names) do
    if values[name] then
      parts[#parts + 1] = name .. ':' .. values[name]
    end
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

local kept = now_kept(KEYS[1], ARGV[1])
if kept.text and not is_object(kept.text) then
  return {0, kept.version}
end
local text = merged(kept.text, ARGV[6])
local refused = refusal(kept, #text, limits_from(ARGV[3], ARGV[4], ARGV[5]), 0, 0)
if refused then
  return refused
end
return {1, store(kept, text, tonumber(ARGV[2])), text}
