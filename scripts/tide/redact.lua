-- Takes out what nobody outside may see: by header name, by field name, then by value
-- (every secret that the process knows).

local json = require "tide.json"
local message = require "tide.message"
local re = require "tide.re"
local secrets = require "tide.state.secrets"

local M = {}

M.MARK = "[redacted]"

-- Bounds of a copy; what lies beyond them is replaced, never walked.
local MAX_DEPTH = 32
local MAX_NODES = 10000
local MAX_STRING_BYTES = 65536

-- Field names without their separators, in lower case.
local SENSITIVE_PARTS = {
  "password", "passwd", "passphrase", "secret", "token", "apikey", "appkey", "accesskey",
  "privatekey", "servicekey", "signingkey", "masterkey", "authkey", "crtfckey", "authorization",
  "credential", "cookie", "sessionid", "cardnumber",
}
local SENSITIVE_NAMES = {
  auth = true, pwd = true, pw = true, pass = true, pin = true, otp = true, cvc = true, cvv = true,
  session = true, signature = true, jwt = true, bearer = true, assertion = true, sid = true,
}
-- Names that hold a sensitive part and say nothing.
local HARMLESS_NAMES = {
  tokentype = true, tokenurl = true, tokenpath = true, tokenendpoint = true, tokenformat = true,
  tokenexpiresin = true, tokenexpiresat = true, secretname = true, secrets = true, tokens = true,
  declaredsecrets = true, ratelimittokens = true, maxtokens = true, cookiepolicy = true,
}


local function normalised(name)
  return (name:lower():gsub("[^%w]", ""))
end


local known_names = setmetatable({}, { __mode = "k" })


-- The caller's list as a set; kept as long as the list lives.
local function extra_names(fields)
  if not fields then
    return nil
  end
  local set = known_names[fields]
  if not set then
    set = {}
    for _, name in ipairs(fields) do
      set[normalised(tostring(name))] = true
    end
    known_names[fields] = set
  end
  return set
end


local function judge(short)
  if HARMLESS_NAMES[short] then
    return false
  end
  if SENSITIVE_NAMES[short] then
    return true
  end
  for _, part in ipairs(SENSITIVE_PARTS) do
    if short:find(part, 1, true) then
      return true
    end
  end
  return false
end


-- The verdicts on names that came before; names repeat, and a verdict costs more than a look.
local MAX_VERDICTS = 4096
local verdicts, verdict_count = {}, 0


local function remember(name)
  if verdict_count >= MAX_VERDICTS then
    verdicts, verdict_count = {}, 0
  end
  local verdict = judge(normalised(name))
  verdicts[name] = verdict
  verdict_count = verdict_count + 1
  return verdict
end


local function sensitive(name, extra)
  if extra and extra[normalised(name)] then
    return true
  end
  local verdict = verdicts[name]
  if verdict ~= nil then
    return verdict
  end
  if #name > 256 then
    return judge(normalised(name))
  end
  return remember(name)
end


--- Whether a field or header of this name is taken out.
---@param name string
---@param fields? string[] further names
---@return boolean
function M.is_sensitive(name, fields)
  return sensitive(name, extra_names(fields))
end


-- `key=value` of forms and queries.
local function mask_pair(key, equals, value)
  if value ~= M.MARK and sensitive(key) then
    return key .. equals .. M.MARK
  end
  return nil
end


-- `"key": "value"` of JSON inside a text, its quotes escaped or not.
local function mask_member(key, middle, quote, value)
  if value ~= M.MARK and sensitive(key) then
    return '"' .. key .. middle .. quote .. M.MARK .. quote
  end
  return nil
end


local function mask_shapes(text)
  if text:find("[Bb]earer%s") then
    text = text:gsub("([Bb]earer%s+)[%w%-%._~%+/]+=*", "%1" .. M.MARK)
  end
  if text:find("[Bb]asic%s") then
    text = text:gsub("([Bb]asic%s+)([%w%+/]+=*)", function(scheme, value)
      return #value >= 8 and scheme .. M.MARK or nil
    end)
  end
  if text:find("://", 1, true) then
    text = text:gsub("(://)[^%s/?#@\"']+@", "%1" .. M.MARK .. "@")
  end
  if text:find("=", 1, true) then
    -- The frontier keeps a long run of letters from being tried again from each of them.
    text = text:gsub("%f[%w_%-%.]([%w_%-%.]+)(=)([^%s&;,\"'<>}%)%]]+)", mask_pair)
  end
  if text:find('"', 1, true) then
    text = text:gsub('"([%w_%-%.]+)(\\?"%s*:%s*)(\\?")([^"\\]*)\\?"', mask_member)
  end
  return text
end


--- `text` without the values of known secrets and without what looks like a credential.
---@param text string
---@return string
function M.text(text)
  if type(text) ~= "string" then
    error("redact.text expects a string, got " .. type(text), 2)
  end
  -- Values first: what a shape would cut in two could not be recognised any more.
  return mask_shapes(secrets.redact(text))
end


-- A word as it may be written: `normalised` drops whatever stands between the letters.
local function spaced(word)
  return (word:gsub("%w", "%0[^a-z0-9\"]*"))
end


-- What must be in a JSON text for the walk through it to find anything: a sensitive name, or
-- what `mask_shapes` looks at, or an escape that could hide either.
local function suspicion()
  local parts, names = {}, {}
  for _, part in ipairs(SENSITIVE_PARTS) do
    parts[#parts + 1] = spaced(part)
  end
  for name in pairs(SENSITIVE_NAMES) do
    names[#names + 1] = spaced(name)
  end
  table.sort(names)
  return re.compile("[=\\\\]|bearer\\s|basic\\s|://[^\\s/?#@\"']*@|" .. table.concat(parts, "|")
    .. '|"[^a-z0-9"]*(?:' .. table.concat(names, "|") .. ')"\\s*:', "i")
end


local SUSPICIOUS = assert(suspicion())


--- Whether a JSON text may be shown as it is: nothing in it would be redacted. A false says
--- only that it must be looked through (`redact.value`).
---@param encoded string valid JSON
---@param fields? string[] further sensitive names
---@return boolean
function M.is_clean_json(encoded, fields)
  if fields and #fields > 0 then
    return false
  end
  return SUSPICIOUS:test(encoded) == false and secrets.redact(encoded) == encoded
end


local function decode_percent(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end


--- `url` without user information, sensitive query parameters and known secrets.
---@param url string
---@param fields? string[] further names
---@return string
function M.url(url, fields)
  if type(url) ~= "string" then
    error("redact.url expects a string, got " .. type(url), 2)
  end
  local extra = extra_names(fields)
  local clean = secrets.redact(url)
  clean = clean:gsub("^([%w+.-]+://)[^/?#]*@", "%1" .. M.MARK .. "@")
  local before, query, fragment = clean:match("^([^?#]*)%?([^#]*)(.*)$")
  if not before then
    return clean
  end
  query = query:gsub("([^&;=]+)=([^&;]*)", function(key, value)
    if value ~= "" and sensitive(decode_percent(key), extra) then
      return key .. "=" .. M.MARK
    end
    return nil
  end)
  return before .. "?" .. query .. fragment
end


local copy


local function scalar(value)
  local kind = type(value)
  if kind == "string" then
    if #value > MAX_STRING_BYTES then
      return message.clean(M.text(value:sub(1, MAX_STRING_BYTES)), MAX_STRING_BYTES)
    end
    return M.text(value)
  end
  if kind == "number" or kind == "boolean" or value == json.null then
    return value
  end
  return "[" .. kind .. "]"
end


local function masked(value)
  -- true, false and null under such a name tell only whether there is something.
  if type(value) == "boolean" or value == json.null or value == "" then
    return value
  end
  return M.MARK
end


local function copy_members(value, extra, state, depth)
  local result = json.is_array(value) and json.array() or {}
  for key, member in next, value do
    state.nodes = state.nodes + 1
    if state.nodes > MAX_NODES then
      if type(key) == "string" then
        result["…"] = "[truncated]"
      end
      return result
    end
    local name = key
    if type(key) == "string" then
      name = secrets.redact(key)
    elseif math.type(key) ~= "integer" then
      name = "[" .. type(key) .. "]"
    end
    if type(key) == "string" and sensitive(key, extra) then
      result[name] = masked(member)
    else
      result[name] = copy(member, extra, state, depth + 1)
    end
  end
  return result
end


copy = function(value, extra, state, depth)
  if type(value) ~= "table" then
    return scalar(value)
  end
  if depth > MAX_DEPTH then
    return "[truncated]"
  end
  return copy_members(value, extra, state, depth)
end


--- A bounded deep copy of `value` that may be shown: plain values and tables only.
---@param value any
---@param fields? string[] further sensitive names
---@return any
function M.value(value, fields)
  return copy(value, extra_names(fields), { nodes = 0 }, 1)
end


--- Headers that may be shown, as a list of pairs like the one given, or by name.
---@param headers { [1]: string, [2]: string }[]|table<string, string>
---@param fields? string[] further sensitive names
---@return table
function M.headers(headers, fields)
  local extra = extra_names(fields)
  local result = {}
  for key, value in next, headers do
    if type(value) == "table" then
      local name, text = tostring(value[1]), tostring(value[2])
      result[key] = { name, sensitive(name, extra) and M.MARK or M.text(text) }
    else
      local name = tostring(key)
      result[key] = sensitive(name, extra) and M.MARK or M.text(tostring(value))
    end
  end
  return result
end


return M
