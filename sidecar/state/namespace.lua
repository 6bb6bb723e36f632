--[[
What every verb does to the hash of a namespace: read a value, look whether another one may take its place, store it.

Beside the values the hash holds three fields no key can be named like:
  "\1ttl_ms"  how long it lives after its last use, milliseconds: the longest any of its writers asked for
  "\1floor"   the highest version among the values deleted, so that no version comes twice
  "\1bytes"   what the values take, as JSON

A value is "version\nJSON", or "version count\nJSON" where a verb knows how many items the list has. The JSON is always
compact, as our Python writes it: no space between its parts, and one spelling for each text.
]]
local function now_kept(hash, field)
  local known = redis.call('HMGET', hash, field, '\1ttl_ms', '\1floor', '\1bytes')
  local kept = {hash = hash, field = field, version = 0, size = 0, ttl_ms = tonumber(known[2] or 0),
                floor = tonumber(known[3] or 0), bytes = tonumber(known[4] or 0)}
  if known[1] then
    local version, count, text = string.match(known[1], '^(%d+) ?(%d*)\n(.*)$')
    kept.version, kept.count, kept.text, kept.size = tonumber(version), tonumber(count), text, #text
  end
  kept.own = (known[2] and 1 or 0) + (known[3] and 1 or 0) + (known[4] and 1 or 0)
  return kept
end

-- Returns nil where a value of that size fits: one with others of *values* and *bytes* about to be stored beside it;
-- else the answer that refuses it, as every verb gives it:
--   {-1, count}  the namespace holds as many values as it may
--   {-3, size}   the value would be too long
--   {-4, bytes}  the namespace would be too large
local function refusal(kept, size, limits, values, bytes)
  if size > limits.value_bytes then
    return {-3, size}
  end
  if kept.version == 0 then
    local count = redis.call('HLEN', kept.hash) - kept.own + values
    if count >= limits.values then
      return {-1, count}
    end
  end
  local total = kept.bytes + bytes + size - kept.size
  if total > limits.bytes and size > kept.size then
    return {-4, total}
  end
  return nil
end

local function use(kept)
  if kept.ttl_ms > 0 then
    redis.call('PEXPIRE', kept.hash, kept.ttl_ms)
  end
end

-- Returns the new version.
local function store(kept, text, ttl_ms, count)
  local version = (kept.version > 0 and kept.version or kept.floor) + 1
  local head = count and string.format('%d %d', version, count) or string.format('%d', version)
  ttl_ms = math.max(ttl_ms, kept.ttl_ms)
  redis.call('HSET', kept.hash, kept.field, head .. '\n' .. text, '\1ttl_ms', string.format('%d', ttl_ms))
  redis.call('HINCRBY', kept.hash, '\1bytes', #text - kept.size)
  redis.call('PEXPIRE', kept.hash, ttl_ms)
  return version
end

local function limits_from(values, value_bytes, bytes)
  return {values = tonumber(values), value_bytes = tonumber(value_bytes), bytes = tonumber(bytes)}
end
