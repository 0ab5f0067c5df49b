-- What the document says of a webhook: how it is signed, which events are known, what is answered.

local schemas = require "tide.openapi.schemas"
local shape = require "tide.api.shape"

local M = {}

local TYPES_MAX = 100


-- The types that have a handler, or that are known to need none.
function M.types(definition)
  local types = {}
  for name in pairs(definition.handlers) do
    types[#types + 1] = schemas.words(name)
  end
  table.sort(types)
  return types
end


local function types_text(definition)
  local types = M.types(definition)
  local shown = {}
  for index = 1, math.min(#types, TYPES_MAX) do
    shown[index] = "`" .. types[index]:gsub("`", "'") .. "`"
  end
  if #types > TYPES_MAX then
    shown[#shown + 1] = ("and %d more"):format(#types - TYPES_MAX)
  end
  return #shown > 0 and ("Events: %s."):format(table.concat(shown, ", ")) or "No event has a handler."
end


function M.describe(definition)
  local header = definition.scheme.signature_header
  return ("Signed by the scheme `%s`%s. %s"):format(schemas.words(definition.scheme.name),
    header and (", in the header `%s`"):format(schemas.words(header)) or "", types_text(definition))
end


--- The answers when all is well; nil where they are as usual.
function M.answers(definition)
  if definition.respond then
    return { [definition.respond.status or 200] = { description = "Stored; answered as the sender wants it." } }
  end
  if definition.is_envelope then
    return { [200] = { description = "Stored: each event will be processed, once.",
      schema = shape.object { ids = shape.list("uuid") } } }
  end
end


return M
