-- Secrets that were written into a file. What is found is never said, only where.

local secret_shape = require "tide.review.secret_shape"
local tree = require "tide.lua.tree"

local M = {}

M.name = "secret_in_source"
M.severity = "error"
M.kinds = { provider = true, script = true, config = true }
M.describe = "A text is the value of one of the project's secrets, has the form of a known key or token, is given to "
  .. "a name such as `password` or `api_key`, or is as random as a key. Comments are read too. The text itself is "
  .. "not shown."

local ADVICE = ": keep it in the environment and read it with ctx.secret; as others may have read it here, replace it"

-- A name that ends so holds a secret. Underscores, hyphens and capitals do not count.
local ENDINGS = {
  "password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "secretkey", "accesskey", "signingkey",
  "appkey", "authkey", "credential",
}
-- What such a name is given that is only a name itself, or the word for a kind.
local WORDS = {}
for word in ([[accesstoken refreshtoken authtoken apitoken idtoken clientsecret appsecret webhooksecret bearer header
  query string number required optional none]]):gmatch("%a+") do
  WORDS[word] = true
end
for _, ending in ipairs(ENDINGS) do
  WORDS[ending] = true
end

-- What is random by its nature and no secret, by the end of the name that it is given.
local PUBLIC = { "hash", "sha1", "sha256", "sha384", "sha512", "md5", "digest", "checksum", "fingerprint", "publickey" }

local MIN_LENGTH = 6


local function normal(name)
  return (name:lower():gsub("[_-]", ""))
end


local function ends_in(name, endings)
  local flat = normal(name)
  for _, ending in ipairs(endings) do
    if flat:sub(-#ending) == ending then
      return true
    end
  end
  return false
end


-- "nextPageToken", "X-Api-Key": what a third party calls something.
local function is_name_of_secret(value)
  return value:find("^%a[%w_-]*$") ~= nil and value:find("%l[%u_-]") ~= nil and ends_in(value, ENDINGS)
end


-- Whether what such a name is given can be the secret, and is no name, path, template or sentence.
local function is_value(of, name, value)
  local flat = normal(value)
  if #value < MIN_LENGTH or value:find("[%s{}<>%%]") or value:find("^/") or value:find("^https?:") then
    return false
  end
  if is_name_of_secret(value) then
    return false
  end
  if not value:find("%w") or value:find("^[xX*._-]+$") or WORDS[flat] or flat == normal(name) then
    return false
  end
  return not (of.provider and of.provider.secrets[value])
end


-- A definition of credentials gives the names of secrets: { scheme = "basic", password = "door_code" }.
local function has_scheme(items)
  for _, item in ipairs(items) do
    if item.name == "scheme" then
      return true
    end
  end
  return false
end


-- env("TIDEGATE_ACME_API_KEY", "…"): the second is what the first gets.
local function default_of_variable(node)
  local callee = node[1]
  local is_env = callee.kind == "name" and callee.name == "env" and not callee.variable
  if is_env and node[2] and node[2].kind == "string" then
    return node[2].value, node[3]
  end
end


-- Names and the string nodes that they are given: items of tables, assignments, locals, defaults of variables.
local function named_texts(of)
  local list = {}
  local function add(name, value)
    if name and value and value.kind == "string" then
      list[#list + 1] = { name = name, node = value }
    end
  end
  tree.walk(of.source.tree, function(node, parent)
    if node.kind == "item" and not (parent and has_scheme(parent)) then
      add(node.name, node[1])
    elseif node.kind == "assign" then
      for i = 1, node.targets do
        add(node[i].name, node[node.targets + i])
      end
    elseif node.kind == "call" then
      add(default_of_variable(node))
    elseif node.kind == "local" then
      for i, variable in ipairs(node.variables) do
        add(variable.name, node[i])
      end
    end
  end)
  return list
end


local function has_known_value(of, text)
  for _, value in ipairs(of.secret_values) do
    if text:find(value, 1, true) then
      return true
    end
  end
  return false
end


-- What a text that stands anywhere is taken for.
local function kind_of(of, text)
  return has_known_value(of, text) and "the value of a secret of this project" or secret_shape.known(text)
end


local function look_at_comments(of, note)
  for _, comment in ipairs(of.source.comments) do
    local line = comment.line
    for text in (comment.text .. "\n"):gmatch("(.-)\n") do
      local kind = kind_of(of, text)
      if kind then
        note(line, kind)
      end
      line = line + 1
    end
  end
end


local function look_at_texts(of, public, note)
  tree.walk(of.source.tree, function(node)
    if node.kind == "string" then
      local is_random = not public[node] and secret_shape.is_random(node.value)
      local kind = kind_of(of, node.value) or is_random and "a key: it is random"
      if kind then
        note(node.line, kind)
      end
    end
  end)
end


function M.review(of)
  local found, seen, public = {}, {}, {}
  local function note(line, kind)
    if not seen[line] then
      seen[line] = true
      found[#found + 1] = { line = line, message = "this looks like " .. kind .. ADVICE }
    end
  end
  local named = named_texts(of)
  for _, one in ipairs(named) do
    public[one.node] = ends_in(one.name, PUBLIC)
  end
  look_at_texts(of, public, note)
  look_at_comments(of, note)
  for _, one in ipairs(named) do
    if ends_in(one.name, ENDINGS) and is_value(of, one.name, one.node.value) then
      note(one.node.line, ("a secret: it is given to %s"):format(one.name))
    end
  end
  return found
end


return M
