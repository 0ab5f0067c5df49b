-- What a generation is built from, as bytes for all workers: the files as they were read, once. Every worker
-- evaluates them itself.

local M = {}

local KINDS = { "files", "scripts", "bundled" }


local function pack_files(parts, kind, files)
  for _, file in ipairs(files) do
    parts[#parts + 1] = ("<s1s4s4s4s4"):pack(kind, file.name, file.path, file.text or "", file.fault or "")
  end
end


--- The bytes of `sources` (sources.read).
---@param sources table
---@return string
function M.pack(sources)
  local parts = { ("<s4s4"):pack(sources.config_path, sources.config_text) }
  for _, kind in ipairs(KINDS) do
    pack_files(parts, kind, sources[kind])
  end
  return table.concat(parts)
end


--- The sources that were packed, without what config.lua returned.
---@param bytes string
---@return table
function M.unpack(bytes)
  local sources = { files = {}, scripts = {}, bundled = {} }
  local at
  sources.config_path, sources.config_text, at = ("<s4s4"):unpack(bytes)
  while at <= #bytes do
    local kind, name, path, text, fault, after = ("<s1s4s4s4s4"):unpack(bytes, at)
    local file = { name = name, path = path, text = text }
    if fault ~= "" then
      file.text, file.fault = nil, fault
    end
    table.insert(sources[kind], file)
    at = after
  end
  return sources
end


return M
