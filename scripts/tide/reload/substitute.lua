-- The source of an earlier version of an integration: its file and the scripts that it required, which serve in
-- place of the file that is there now.

local bundle = require "tide.bundle"

local M = {}

M.BYTES_MAX = 4 * 1024 * 1024


-- A project's own file comes before one of the binary, which may have the same path.
local function find(lists, path)
  for _, files in ipairs(lists) do
    for _, file in ipairs(files) do
      if file.path == path then
        return file
      end
    end
  end
end


--- What `code` was made of, while `sources` are what they were then.
---@param code table provider_file.load
---@param sources table sources.read
---@return table { file, scripts }
function M.of(code, sources)
  local scripts = {}
  for index, dependency in ipairs(code.dependencies) do
    scripts[index] = find({ sources.scripts }, dependency.path)
  end
  return { file = find({ sources.files, sources.bundled }, code.path), scripts = scripts }
end


--- Its bytes; nil when they are too many to be kept.
---@return string|nil
function M.pack(source)
  local bytes = bundle.pack({ config_path = "", config_text = "", files = { source.file }, scripts = source.scripts,
    bundled = {} })
  return #bytes <= M.BYTES_MAX and bytes or nil
end


---@return table { file, scripts }
function M.unpack(bytes)
  local sources = bundle.unpack(bytes)
  return { file = assert(sources.files[1], "there is no file in it"), scripts = sources.scripts }
end


return M
