-- Run by pattern_test with the functions of bind/pattern and a seed, in a plain Lua state: for
-- random texts, patterns and arguments the stock functions give the same, messages included.

local ours, seed = ...
local stock = { find = string.find, match = string.match, gmatch = string.gmatch, gsub = string.gsub }

local TEXT = { "a", "b", "c", "A", "1", " ", ".", "%", "-", "]", "(", "\0", "\xff", "_", "\n" }
local PLAIN = { "a", "b", "c", "A", "1", ".", "\0", "\xff", "%a", "%A", "%d", "%D", "%s", "%w", "%W", "%p", "%u",
  "%l", "%x", "%g", "%c", "%z", "%.", "%%", "%-", "%]", "[ab]", "[^ab]", "[a-c]", "[%a1]", "[^%s]", "[]a]", "[^]a]",
  "[a-]", "[-a]", "[%-a]", "[\0-b]", "[c-a]", "[a%]", "[^%]]" }
local SUFFIX = { "", "", "", "*", "+", "-", "?" }
local ODD = { "(", ")", "()", "$", "^", "%1", "%2", "%0", "%b", "%b()", "%bab", "%b.", "%f", "%f[%w]", "%f[^a]", "%f[",
  "%", "[", "[^", "[a", "[%", "[]", "*", "(a*(.)", "(a)%1", "((a)(b?))", "(()a*)", "\0", "%b\0\0" }
local REPLACEMENT = { "x", "%0", "%1", "%2", "%%", "%", "%x", "<%0%1>", "", "%9", "\0", "%1%1" }

local random = math.random
local cases = 0


local function pick(list)
  return list[random(#list)]
end


local function text(most)
  local parts = {}
  for i = 1, random(0, most) do parts[i] = pick(TEXT) end
  return table.concat(parts)
end


local function pattern()
  local parts = {}
  if random(6) == 1 then parts[1] = "^" end
  for _ = 1, random(0, 5) do
    if random(4) == 1 then
      parts[#parts + 1] = pick(ODD)
    elseif random(5) == 1 then
      parts[#parts + 1] = "(" .. pick(PLAIN) .. pick(SUFFIX) .. pick(PLAIN) .. ")"
    else
      parts[#parts + 1] = pick(PLAIN) .. pick(SUFFIX)
    end
  end
  if random(6) == 1 then parts[#parts + 1] = "$" end
  return table.concat(parts)
end


local function position()
  if random(3) > 1 then return nil end
  return random(20) == 1 and (random(2) == 1 and math.mininteger or math.maxinteger) or random(-15, 15)
end


local function shown(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end


-- The outcome of a call. Only the stock functions have names that Lua finds for its messages.
local function outcome(call, ...)
  local results = table.pack(pcall(call, ...))
  if not results[1] then
    results[2] = results[2]:gsub("^bad argument #(%d) to '[^']*'", "bad argument #%1")
  end
  return results
end


local function compare(name, ...)
  local expected, seen = outcome(stock[name], ...), outcome(ours[name], ...)
  cases = cases + 1
  local same = expected.n == seen.n
  for i = 1, expected.n do
    same = same and rawequal(expected[i], seen[i]) and math.type(expected[i]) == math.type(seen[i])
  end
  if same then return end
  local call, results = {}, { {}, {} }
  for i = 1, select("#", ...) do call[i] = shown((select(i, ...))) end
  for i = 1, expected.n do results[1][i] = shown(expected[i]) end
  for i = 1, seen.n do results[2][i] = shown(seen[i]) end
  error(("seed %d: %s(%s): %s, not %s"):format(seed, name, table.concat(call, ", "),
    table.concat(results[2], ", "), table.concat(results[1], ", ")), 0)
end


-- All that a walk gives, as one text.
local function walked(gmatch)
  return function(...)
    local parts, count = {}, 0
    for a, b, c in gmatch(...) do
      count = count + 1
      parts[#parts + 1] = shown(a) .. shown(b) .. shown(c)
    end
    return count, table.concat(parts, ";")
  end
end


local function replacement()
  local kind = random(6)
  if kind == 1 then
    return function(a, b) return b or (a ~= "a" and tostring(a) .. "!") end
  elseif kind == 2 then
    return { a = "x", b = 2, [1] = "one", c = false, A = random(2) == 1 and {} or 2.5 }
  elseif kind == 3 then
    return random(2) == 1 and 7 or 1.5
  end
  return pick(REPLACEMENT) .. (random(3) == 1 and pick(REPLACEMENT) or "")
end


math.randomseed(seed)
stock.walked, ours.walked = walked(stock.gmatch), walked(ours.gmatch)
for _ = 1, 40000 do
  local subject, wanted = text(12), pattern()
  compare("find", subject, wanted, position())
  compare("find", subject, text(2), position(), true)
  compare("match", subject, wanted, position())
  compare("walked", subject, wanted, position())
  compare("gsub", subject, wanted, replacement(), random(4) == 1 and random(-1, 3) or nil)
end

-- At the edges of what they take.
local deep = ("a?"):rep(250)
local many = ("()"):rep(33)
for _, wanted in ipairs { deep, many, ("()"):rep(32), ("(a"):rep(40), ("a*"):rep(198), ("a*"):rep(201) } do
  for _, subject in ipairs { "", "a", ("a"):rep(300) } do
    if wanted ~= deep or subject == "" then
      compare("find", subject, wanted)
      compare("match", subject, wanted)
      compare("gsub", subject, wanted, "%1")
    end
  end
end
for _, name in ipairs { "find", "match", "gmatch", "gsub" } do
  compare(name)
  compare(name, "a")
  compare(name, {}, "a")
  compare(name, "a", "a", {}, {})
  compare(name, "a", "a", true)
  if name ~= "gmatch" then compare(name, 12, 2, 1) end
end
compare("gsub", "abc", "%w", "%0", 1.5)
compare("gsub", "abc", "%w", print, 0)

return cases
