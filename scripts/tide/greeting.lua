-- What the service says to whoever started it by hand: where it listens, and a command to try.

local host = require "tide.host"
local json = require "tide.json"

local M = {}


-- Something to try: the first operation whose input has an example in its schema, else the list
-- of what there is. Its path, and the body as JSON.
local function example_of(generation)
  local found
  for name, integration in pairs(generation.integrations) do
    for operation, definition in pairs(integration.operations) do
      local schema = definition.input and definition.input.definition
      local example = type(schema) == "table" and schema.examples and schema.examples[1]
      local path = ("/api/v1/integrations/%s/%s"):format(name, operation)
      if example and (not found or path < found.path) then
        found = { path = path, body = json.encode(example, { canonical = true }) }
      end
    end
  end
  return found or { path = "/api/v1/integrations" }
end


local function curl_line(address, example, token_path)
  local socket = address:match("^unix:(.*)$")
  local parts = { "curl -s" }
  if socket then
    parts[#parts + 1] = "--unix-socket " .. socket
  end
  local origin = socket and "http://localhost" or address:match("^https://") and address or "http://" .. address
  parts[#parts + 1] = origin .. example.path
  parts[#parts + 1] = ('-H "Authorization: Bearer $(cat %s)"'):format(token_path)
  if example.body then
    parts[#parts + 1] = ("-H 'Content-Type: application/json' -d '%s'"):format(example.body)
  end
  return table.concat(parts, " ")
end


--- What is said at the start. `token_path` is where the administrator's token lies, nil when there is none.
---@param addresses string[]
---@param token_path string|nil
---@param generation table
---@return string
function M.text(addresses, token_path, generation)
  local words = { ("Tidegate %s listens on %s"):format(host.version, table.concat(addresses, ", ")) }
  if token_path then
    words[#words + 1] = "The administrator's token is in " .. token_path
    words[#words + 1] = "Try it:"
    words[#words + 1] = "  " .. curl_line(addresses[1], example_of(generation), token_path)
  else
    words[#words + 1] = "Make a token: tidegate token create --name NAME --role caller"
  end
  return table.concat(words, "\n") .. "\n"
end


return M
