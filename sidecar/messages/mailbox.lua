--[[
What the verbs of messages share. All of them are given the keys of one trace and one mailbox:

KEYS[1]   agents      hash: agent -> "<max_deliveries>\n<description>"
KEYS[2]   messages    hash: message id -> "<sent at, unix ms> <number>\n<message, JSON without its timestamp>"
KEYS[3]   log         sorted set: message ids by their number, which counts the trace's messages
KEYS[4]   deliveries  hash: message id -> "<rank> <times delivered>\n<receipt>\n<reason>"; only of messages that are
                      neither acknowledged nor for the log alone
KEYS[5]   meta        hash: "seq", the last number; "bytes", what the messages take
KEYS[6]   ready       sorted set: message ids by rank, the lowest is received first
KEYS[7]   later       sorted set: message ids by when they are ready again, unix ms
KEYS[8]   leased      sorted set: message ids by the end of their lease, unix ms
KEYS[9]   dead        sorted set: message ids by when they died, unix ms
KEYS[10]  bell        list: one item for each message that became ready, for those who wait

A message that is in deliveries stands in exactly one of ready, later, leased and dead.
The rank puts a higher priority before a lower one and an older message before a younger: exact up to 2^53.
]]
local agents, messages, log, deliveries, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local ready, later, leased, dead, bell = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local most_rings = 64

-- A key of another type is refused when it is touched, which must not be after something else is written.
for _, key in ipairs({agents, messages, deliveries, meta}) do
  redis.call('HLEN', key)
end
for _, key in ipairs({log, ready, later, leased, dead}) do
  redis.call('ZCARD', key)
end
redis.call('LLEN', bell)

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Everything here lives on from its last use.
local function use(kept_ms)
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, kept_ms)
  end
end

local function delivery_of(id)
  local raw = redis.call('HGET', deliveries, id)
  if not raw then
    return nil
  end
  local rank, count, receipt, reason = string.match(raw, '^(%d+) (%d+)\n([^\n]*)\n(.*)$')
  return {rank = rank, count = tonumber(count), receipt = receipt, reason = reason}
end

local function note(id, delivery)
  redis.call('HSET', deliveries, id,
    delivery.rank .. ' ' .. delivery.count .. '\n' .. delivery.receipt .. '\n' .. delivery.reason)
end

local function ring(a_bell)
  redis.call('LPUSH', a_bell, 1)
  redis.call('LTRIM', a_bell, 0, most_rings - 1)
end

local function make_ready(id, delivery)
  redis.call('ZADD', ready, delivery.rank, id)
  ring(bell)
end

local function most_deliveries(agent)
  local record = redis.call('HGET', agents, agent)
  return record and tonumber(string.match(record, '^%d+'))
end

-- Take down a message and, where a mailbox is given, put it in there.
local function post(id, priority, text, now, to_ready, to_bell)
  local number = redis.call('HINCRBY', meta, 'seq', 1)
  redis.call('HSET', messages, id, whole(now) .. ' ' .. number .. '\n' .. text)
  redis.call('HINCRBY', meta, 'bytes', #text)
  redis.call('ZADD', log, number, id)
  if to_ready then
    local rank = whole((10 - priority) * 4398046511104 + number)
    note(id, {rank = rank, count = 0, receipt = '', reason = ''})
    redis.call('ZADD', to_ready, rank, id)
    ring(to_bell)
  end
end
