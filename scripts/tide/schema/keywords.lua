-- The keywords of JSON Schema 2020-12 that look at one value without subschemas.
-- Each entry: keyword -> build(compiler, argument, path) -> kind of value it looks at,
-- check(value, run, level).

local json = require "tide.json"
local message = require "tide.message"
local schema_format = require "tide.schema.format"
local schema_value = require "tide.schema.value"
local suggest = require "tide.suggest"

local M = {}

local MAX_SHOWN_CHOICES = 12


local function counted(count, word)
  return ("%s %s%s"):format(count, word, count == 1 and "" or "s")
end


-- A limit on a count: `value` of the schema is a whole number of at least 0.
local function count_limit(kind, word, at_least, measure)
  return function(compiler, limit, path)
    if type(limit) ~= "number" or limit < 0 or limit ~= math.floor(limit) then
      compiler:fail(path, "must be a whole number of at least 0")
    end
    limit = math.tointeger(limit) or limit
    local words = ("must have at %s %s"):format(at_least and "least" or "most",
      counted(limit, word))
    return kind, function(value, run, level)
      local count = measure(value)
      if at_least and count < limit or not at_least and count > limit then
        run:report(level, words)
      end
    end
  end
end


-- Text that is not UTF-8 (bytes of a script) is counted in bytes.
local function text_length(value)
  return utf8.len(value) or #value
end


local function list_length(value)
  return #value
end


local function member_count(value)
  local count = 0
  for _ in next, value do
    count = count + 1
  end
  return count
end


local function number_limit(words, holds)
  return function(compiler, limit, path)
    if type(limit) ~= "number" then
      compiler:fail(path, "must be a number")
    end
    local text = ("must be %s %s"):format(words, json.encode(limit) or tostring(limit))
    return "number", function(value, run, level)
      if not holds(value, limit) then
        run:report(level, text)
      end
    end
  end
end


local function is_multiple(value, divisor)
  if math.type(value) == "integer" and math.type(divisor) == "integer" then
    return value % divisor == 0
  end
  local quotient = value / divisor
  if quotient ~= quotient or quotient == math.huge or quotient == -math.huge then
    return math.fmod(value, divisor) == 0
  end
  -- 0.3 is a multiple of 0.1, whatever binary fractions make of it.
  local nearest = math.floor(quotient + 0.5)
  return math.abs(quotient - nearest) <= 1e-9 * math.max(1, math.abs(quotient))
    and (nearest ~= 0 or value == 0)
end


local function multiple_of(compiler, divisor, path)
  if type(divisor) ~= "number" or divisor <= 0 then
    compiler:fail(path, "must be a number above 0")
  end
  local words = "must be a multiple of " .. (json.encode(divisor) or tostring(divisor))
  return "number", function(value, run, level)
    if not is_multiple(value, divisor) then
      run:report(level, words)
    end
  end
end


local function pattern(compiler, text, path)
  local regex = compiler:regex(text, path)
  local words = "must match the pattern " .. message.clean(text, 200)
  return "string", function(value, run, level)
    local found, err = regex:test(value)
    if found == nil and err then
      run:report(level, "could not be compared with the pattern: " .. message.clean(err, 200))
    elseif not found then
      run:report(level, words)
    end
  end
end


local function format(compiler, name, path)
  local entry = type(name) == "string" and schema_format.formats[name]
  if not entry then
    local hint = suggest.hint(name, schema_format.formats)
    compiler:fail(path, ("unknown format %s%s"):format(message.clean(name, 100), hint))
  end
  local words, check = "must be " .. entry[1], entry[2]
  return "string", function(value, run, level)
    if not check(value) then
      run:report(level, words)
    end
  end
end


local function constant(compiler, wanted, path)
  wanted = compiler:literal(wanted, path)
  local words = "must be " .. message.clean(json.encode(wanted) or "the given value", 200)
  return nil, function(value, run, level)
    if not schema_value.equal(value, wanted) then
      run:report(level, words)
    end
  end
end


local function choices_text(choices)
  local shown = {}
  for i = 1, math.min(#choices, MAX_SHOWN_CHOICES) do
    shown[i] = message.clean(json.encode(choices[i]) or "?", 80)
  end
  if #choices > MAX_SHOWN_CHOICES then
    return "must be one of " .. table.concat(shown, ", ") .. ", …"
  end
  return "must be " .. message.choice(shown)
end


local function enum(compiler, choices, path)
  if type(choices) ~= "table" or #choices == 0 then
    compiler:fail(path, "must be a list of at least one value")
  end
  choices = compiler:literal(choices, path)
  local scalars = {}
  for _, choice in ipairs(choices) do
    if type(choice) ~= "table" then
      scalars[choice] = true
    end
  end
  local words = choices_text(choices)
  return nil, function(value, run, level)
    if scalars[value] then
      return
    end
    for _, choice in ipairs(choices) do
      if schema_value.equal(choice, value) then
        return
      end
    end
    run:report(level, words)
  end
end


-- A text that two values share exactly when they are equal, so that long lists cost n, not n².
local function identity(value)
  if type(value) == "table" then
    local text = json.encode(value, { canonical = true }) or ""
    return (next(value) == nil and "e" or "t") .. (next(value) == nil and "" or text)
  end
  return value
end


local function unique_items(compiler, wanted, path)
  if type(wanted) ~= "boolean" then
    compiler:fail(path, "must be true or false")
  end
  return "array", function(value, run, level)
    local seen_scalars, seen_tables = {}, {}
    for position = 1, wanted and #value or 0 do
      local item = value[position]
      local seen = type(item) == "table" and seen_tables or seen_scalars
      local id = identity(item)
      if seen[id] then
        run:report(level,
          ("must not hold the same item twice (items %d and %d)"):format(seen[id] - 1,
          position - 1))
        return
      end
      seen[id] = position
    end
  end
end


local function dependent_required(compiler, table_of_lists, path)
  if type(table_of_lists) ~= "table" then
    compiler:fail(path, "must be an object of lists of names")
  end
  local names = compiler:sorted_keys(table_of_lists, path)
  for _, name in ipairs(names) do
    compiler:check_names(table_of_lists[name], compiler:step(path, name))
  end
  return "object", function(value, run, level)
    for _, name in ipairs(names) do
      if value[name] ~= nil then
        for _, needed in ipairs(table_of_lists[name]) do
          if value[needed] == nil then
            run:report_member(level, needed, "is required when " .. name .. " is given")
          end
        end
      end
    end
  end
end


M.keywords = {
  const = constant,
  enum = enum,
  multipleOf = multiple_of,
  minimum = number_limit("at least", function(value, limit) return value >= limit end),
  maximum = number_limit("at most", function(value, limit) return value <= limit end),
  exclusiveMinimum = number_limit("above", function(value, limit) return value > limit end),
  exclusiveMaximum = number_limit("below", function(value, limit) return value < limit end),
  minLength = count_limit("string", "character", true, text_length),
  maxLength = count_limit("string", "character", false, text_length),
  pattern = pattern,
  format = format,
  minItems = count_limit("array", "item", true, list_length),
  maxItems = count_limit("array", "item", false, list_length),
  uniqueItems = unique_items,
  minProperties = count_limit("object", "member", true, member_count),
  maxProperties = count_limit("object", "member", false, member_count),
  dependentRequired = dependent_required,
}


return M
