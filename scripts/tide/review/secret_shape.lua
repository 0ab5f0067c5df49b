-- Texts that look like a secret: by how known issuers begin theirs, and by how random they are.

local M = {}

-- Patterns of known issuers, and what they are.
local KNOWN = {
  { "%f[%w][sr]k_live_%w%w%w%w%w%w+", "a key of Stripe" },
  { "%f[%w][sr]k_test_%w%w%w%w%w%w+", "a key of Stripe" },
  { "%f[%w]whsec_[%w+/=]%w%w%w%w%w%w%w+", "a secret of webhooks" },
  { "%f[%w]A[KS]IA[A-Z0-9][A-Z0-9][A-Z0-9][A-Z0-9][A-Z0-9][A-Z0-9][A-Z0-9][A-Z0-9]+", "an access key of AWS" },
  { "%f[%w]gh[pousr]_%w%w%w%w%w%w%w%w+", "a token of GitHub" },
  { "%f[%w]github_pat_[%w_][%w_][%w_][%w_][%w_][%w_]+", "a token of GitHub" },
  { "%f[%w]glpat%-[%w_-][%w_-][%w_-][%w_-][%w_-][%w_-]+", "a token of GitLab" },
  { "%f[%w]xox[abeoprs]%-[%w-][%w-][%w-][%w-][%w-][%w-]+", "a token of Slack" },
  { "%f[%w]xapp%-[%w-][%w-][%w-][%w-][%w-][%w-]+", "a token of Slack" },
  { "hooks%.slack%.com/services/T%w+/B%w+/%w+", "an address of Slack that is a secret" },
  { "%f[%w]AIza[%w_-]" .. ("[%w_-]"):rep(29), "a key of Google" },
  { "%f[%w]ya29%.[%w_-]" .. ("[%w_-]"):rep(15), "a token of Google" },
  { "%f[%w]SG%.[%w_-]" .. ("[%w_-]"):rep(15) .. "+%.[%w_-]+", "a key of SendGrid" },
  { "%f[%w]key%-%x" .. ("%x"):rep(31), "a key of Mailgun" },
  { "%f[%w]shp[ap][ts]?s?_%x%x%x%x%x%x%x%x+", "a token of Shopify" },
  { "%f[%w]sk%-[%w_-]" .. ("[%w_-]"):rep(18), "an API key" },
  { "%f[%w]live_g?sk_%w%w%w%w%w%w+", "a key of Toss Payments" },
  { "%f[%w]npm_%w" .. ("%w"):rep(19), "a token of npm" },
  { "%f[%w]dop_v1_%x%x%x%x%x%x%x%x+", "a token of DigitalOcean" },
  { "%f[%w]eyJ[%w_-]+%.eyJ[%w_-]+%.[%w_-]+", "a JSON Web Token" },
  { "%f[%w][Bb]earer%s+[%w._~+/-][%w._~+/-][%w._~+/-][%w._~+/-][%w._~+/-][%w._~+/-][%w._~+/-][%w._~+/-]+=*",
    "a bearer token", "%d" },
  { "%f[%w]Basic%s+[%w+/][%w+/][%w+/][%w+/][%w+/][%w+/][%w+/][%w+/]+=*", "a name and a password", "%d" },
  { "://[^%s/:@{}%%]+:[^%s/:@{}%%]+@", "a name and a password in an address" },
}

local MIN_RANDOM, MAX_RANDOM = 20, 512
-- Per character. Random letters and digits have 0.3 to 0.5, words and identifiers less than 0.2.
local MIN_CHANGES = 0.25
-- Bits per character, by how often each one comes. Words have no more than 4.2, however long they are.
local MIN_BITS_HEX, MIN_BITS, MANY_BITS = 3.0, 3.6, 4.4
local MIN_CHANGES_OF_MANY_BITS = 0.15
-- "abcdefgh" is an alphabet, no secret.
local MAX_SEQUENCE = 6


-- A private key with a body; code that looks for the heading alone has none.
local function is_private_key(text)
  local body = text:match("%-%-%-%-%-BEGIN [%u%d ]-PRIVATE KEY%-%-%-%-%-%s*([%w+/=%s:,-]+)")
  return body ~= nil and #body:gsub("%s", "") >= 40
end


--- What a text is taken for by its form: "a key of Stripe"; nil when it is no known one.
---@param text string
---@return string|nil
function M.known(text)
  for _, one in ipairs(KNOWN) do
    local match = text:match(one[1])
    if match and (not one[3] or match:find(one[3])) then
      return one[2]
    end
  end
  return is_private_key(text) and "a private key" or nil
end


local function bits_of(text)
  local counts, bits = {}, 0
  for byte in text:gmatch(".") do
    counts[byte] = (counts[byte] or 0) + 1
  end
  for _, count in pairs(counts) do
    local share = count / #text
    bits = bits - share * math.log(share, 2)
  end
  return bits
end


local function class_of(byte)
  if byte >= 48 and byte <= 57 then
    return "digit"
  elseif byte >= 65 and byte <= 90 then
    return "capital"
  elseif byte >= 97 and byte <= 122 then
    return "letter"
  end
end


local function is_change(left, right)
  return left ~= nil and right ~= nil and left ~= right and not (left == "capital" and right == "letter")
end


-- How often the class of characters changes, and the longest run of neighbours in the alphabet. A capital begins a
-- word: what follows it is no change.
local function texture(text)
  local changes, sequence, longest = 0, 1, 1
  for i = 2, #text do
    local before, now = text:byte(i - 1, i)
    changes = changes + (is_change(class_of(before), class_of(now)) and 1 or 0)
    sequence = (math.abs(now - before) == 1 or now == before) and sequence + 1 or 1
    longest = math.max(longest, sequence)
  end
  return changes / (#text - 1), longest
end


local function is_uuid(text)
  return text:find("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$") ~= nil
end


--- Whether a text is as random as keys and tokens are, and words, identifiers and paths are not.
---@param text string
---@return boolean
function M.is_random(text)
  if #text < MIN_RANDOM or #text > MAX_RANDOM or text:find("[^%w+/=_-]") or is_uuid(text) then
    return false
  end
  if not text:find("%d") or not text:find("%a") then
    return false
  end
  local changes, sequence = texture(text)
  local bits, least = bits_of(text), text:find("^%x+$") and MIN_BITS_HEX or MIN_BITS
  local wanted = bits >= MANY_BITS and MIN_CHANGES_OF_MANY_BITS or MIN_CHANGES
  return bits >= least and changes >= wanted and sequence < MAX_SEQUENCE
end


return M
