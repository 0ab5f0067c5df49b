-- Random values of configuration keys: some that are right for a key, some that are wrong.

local json = require "tide.json"
local schema = require "tide.settings.schema"

local M = {}

local WORDS <const> = { "a", "값", "x y", "[1]", "true", "12", "nil", "{}" }


--- A generator that gives the same for the same seed: random() in [0, 1), random(n) in 1 to n.
function M.generator(seed)
  local state = seed % 2147483648
  return function(most)
    state = (state * 1103515245 + 12345) % 2147483648
    local part = (state // 65536 % 32768 * 32768 + (state * 48271 % 2147483647) // 65536) / (32768 * 32768)
    return most and math.floor(part * most) + 1 or part
  end
end


function M.pick(random, list)
  return list[random(#list)]
end


local function number_in(random, key)
  local min, max = key.min or 0, math.min(key.max or 1000000, 1000000)
  return min + random() * (max - min)
end


local function list_of(random, item)
  local list = json.array()
  for index = 1, random(4) do
    list[index] = item(random)
  end
  return list
end


local function object(random, depth)
  local result = {}
  for _ = 1, random(3) do
    local name = "m" .. random(5)
    if depth > 0 and random(3) == 1 then
      result[name] = object(random, depth - 1)
    else
      result[name] = M.pick(random, { random(100), M.pick(random, WORDS), true, false, json.array { 1, "x" } })
    end
  end
  return result
end


local RIGHT = {
  boolean = function(random) return random(2) == 1 end,
  integer = function(random, key) return math.floor(number_in(random, key)) end,
  number = function(random, key)
    local value = number_in(random, key)
    return random(2) == 1 and math.max(key.min or 0, math.floor(value)) or value
  end,
  number_list = function(random, key)
    return list_of(random, function() return math.floor(number_in(random, key)) end)
  end,
  text_list = function(random, key)
    return list_of(random, function() return M.pick(random, key.values or { "field_a", "field_b" }) end)
  end,
  network_list = function(random)
    return list_of(random, function() return "10.0." .. random(255) .. ".0/24" end)
  end,
  base_url = function(random)
    return M.pick(random, { "http://127.0.0.1:" .. random(60000), "https://api.example.com/v" .. random(9) })
  end,
  object = function(random) return object(random, 3) end,
  text = function(random, key) return M.pick(random, key.values or { "x" }) end,
}


--- A value that is right for a key.
function M.right(random, key)
  return RIGHT[key.type](random, key)
end


-- Texts that no environment variable could be read as, for each type that is not written as text itself.
local WRONG = {
  boolean = { 5, "maybe", 1.5, {} },
  integer = { "many", 1.5, true, {}, json.array { 1 } },
  number = { "fast", true, {}, json.array { 1 } },
  number_list = { "x", 5, true, json.array { "x" }, json.array { true } },
  text_list = { "x", 5, true, json.array { 5 }, json.array { json.array {} } },
  network_list = { "x", 5, true, json.array { "10.0.0.0/40" }, json.array { "nowhere" } },
  base_url = { 5, true, "nowhere", "ftp://x.example", "http://user:word@x.example", json.array { 5 } },
  object = { 5, "x", true, json.array { 1 } },
  text = { 5, true, {} },
}


--- A value that is wrong for a key: of another type, or out of its bounds.
function M.wrong(random, key)
  local wrong = { table.unpack(WRONG[key.type]) }
  if key.type == "integer" or key.type == "number" then
    wrong[#wrong + 1] = key.min and key.min - 1 - random(10)
    wrong[#wrong + 1] = key.max and key.max + random(10)
  end
  if key.type == "text" and key.values then
    wrong[#wrong + 1] = "none of them"
  end
  return M.pick(random, wrong)
end


--- The keys that can be changed while the service runs.
function M.live_keys()
  local keys = {}
  for _, key in ipairs(schema.integration) do
    if key.live then
      keys[#keys + 1] = key
    end
  end
  return keys
end


-- Writing -----------------------------------------------------------------------------------------


--- A value as config.lua writes it, on one line.
function M.lua(value)
  if type(value) == "string" then
    return ("%q"):format(value)
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local parts = {}
  for name, member in pairs(value) do
    parts[#parts + 1] = (type(name) == "string" and ("[%q] = "):format(name) or "") .. M.lua(member)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end


--- A value as a variable of the environment writes it.
function M.text(value)
  return type(value) == "string" and value or json.encode(value)
end


return M
