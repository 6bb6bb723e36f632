--[[
Compact JSON taken apart as text: what is not touched keeps every digit and every letter, which cjson would not grant.
]]

-- Returns where the value that begins at *at* ends.
local function end_of(text, at)
  local depth = 0
  while true do
    local c = string.sub(text, at, at)
    if c == '"' then
      repeat
        at = string.find(text, '["\\]', at + 1)
        if string.sub(text, at, at) == '\\' then
          at, c = at + 1, ''
        else
          c = '"'
        end
      until c == '"'
    elseif c == '[' or c == '{' then
      depth = depth + 1
    elseif c == ']' or c == '}' then
      depth = depth - 1
    elseif depth == 0 then
      return (string.find(text, '[,%]}:]', at) or #text + 1) - 1
    end
    if depth == 0 then
      return at
    end
    at = string.find(text, '["%[%]{}]', at + 1)
  end
end

-- Returns where the first *count* items of a list end, and how many it has where it has fewer.
local function end_of_items(list, count)
  local at, found = 1, 0
  while found < count and at < #list - 1 do
    at, found = end_of(list, at + 1) + 1, found + 1
  end
  return at - 1, found
end

local function items_of(list)
  local items, at = {}, 1
  while at < #list - 1 do
    local last = end_of(list, at + 1)
    items[#items + 1] = string.sub(list, at + 1, last)
    at = last + 1
  end
  return items
end

-- Returns the members of an object: names, as they are written, in order, and their values by name.
local function members_of(object)
  local names, values, at = {}, {}, 1
  while at < #object - 1 do
    local colon = end_of(object, at + 1) + 1
    local last = end_of(object, colon + 1)
    local name = string.sub(object, at + 1, colon - 1)
    names[#names + 1], values[name] = name, string.sub(object, colon + 1, last)
    at = last + 1
  end
  return names, values
end

local function is_list(text)
  return string.sub(text, 1, 1) == '['
end

local function is_object(text)
  return string.sub(text, 1, 1) == '{'
end
