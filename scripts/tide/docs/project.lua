-- All pages about a project: an index, one page an integration, the OpenAPI document.

local json = require "tide.json"
local api = require "tide.api"
local docs_example = require "tide.docs.example"
local docs_integration = require "tide.docs.integration"
local markdown = require "tide.docs.markdown"
local openapi = require "tide.openapi"
local tokens = require "tide.tokens"
local sorted = require "tide.sorted"

local M = {}


-- The errors of a call, as its endpoint describes them, with those of every request that has a body.
local function codes_of_calls()
  local codes = { "invalid_input", "unauthorized", "forbidden", "unsupported_media_type", "payload_too_large",
    "internal" }
  for _, group in ipairs(api.groups) do
    for _, route in ipairs(group.routes) do
      if route.doc and route.doc.gives then
        table.move(route.doc.problems, 1, #route.doc.problems, #codes + 1, codes)
      end
    end
  end
  return codes
end


--- The page of one integration of a generation.
---@param generation table
---@param integration table
---@return string
function M.page(generation, integration)
  return docs_integration.render(generation.config, integration, codes_of_calls())
end


--- The OpenAPI document, indented: all that the service has.
---@param generation table
---@return string
function M.openapi(generation)
  local view = openapi.view(generation, { rights = tokens.ROLES.admin })
  return assert(json.encode(openapi.document(generation, api.groups, view), { pretty = true })) .. "\n"
end


local function row_of(integration)
  local name = integration.name
  if not integration.provider then
    return { markdown.code(name), "did not load", "", "" }
  end
  local operations, sources = {}, {}
  for _, operation in ipairs(sorted.names(integration.operations)) do
    operations[#operations + 1] = ("[%s](integrations/%s.md#%s)"):format(operation, name, operation)
  end
  for _, source in ipairs(sorted.names(integration.webhooks or {})) do
    sources[#sources + 1] = source == "" and "yes" or source
  end
  return { ("[%s](integrations/%s.md)"):format(name, name), markdown.cell(integration.provider.summary or ""),
    table.concat(operations, ", "), table.concat(sources, ", ") }
end


local function index(generation)
  local rows = {}
  for _, name in ipairs(sorted.names(generation.integrations)) do
    rows[#rows + 1] = row_of(generation.integrations[name])
  end
  return table.concat({
    "# Integrations",
    ("The API is at %s; [openapi.json](openapi.json) describes it for programs. Calls need a token: `Authorization: "
      .. "Bearer …`."):format(markdown.code(docs_example.origin(generation.config))),
    #rows > 0 and markdown.table({ "integration", "is", "operations", "webhooks" }, rows) or "There are none yet.",
    "Written by `tidegate docs --output`.",
  }, "\n\n") .. "\n"
end


--- Every file by its path.
---@param generation table bound
---@return table<string, string>
function M.files(generation)
  local files = { ["index.md"] = index(generation), ["openapi.json"] = M.openapi(generation) }
  for name, integration in pairs(generation.integrations) do
    if integration.provider then
      files[("integrations/%s.md"):format(name)] = M.page(generation, integration)
    end
  end
  return files
end


return M
