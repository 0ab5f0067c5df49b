-- Each function that a module of the host offers has an entry in docs/api, and the reverse:
-- tidegate run tools/lint_api.lua
--
-- A page names its module (`---@meta tide.json`) and declares `function json.decode(…)` or
-- `json.null = …`. What `require` returns is compared with that, and the modules registered in
-- runtime/bind/modules.c with the pages. Pages of what scripts are given (`ctx`) are not compared.

local host = require "tide.host"

local INTERNAL = "^tide%.engine%."     -- not for scripts: what scripts/tide/*.lua wrap

local faults = {}


local function fault(format, ...)
  faults[#faults + 1] = format:format(...)
end


local function read_page(path)
  local text = assert(host.read_file(path))
  local module = text:match("^%-%-%-@meta%s+([%w_.]+)")
  if not module then return nil, fault("%s: the first line is not ---@meta MODULE", path) end
  if not module:find("^tide%.") then return nil end
  local variable = text:match("\nlocal ([%w_]+) = {}")
  if not variable then return nil, fault("%s: no `local NAME = {}`", path) end
  local names = {}
  for name in text:gmatch("\nfunction " .. variable .. "%.([%w_]+)%(") do names[name] = "function" end
  for name in text:gmatch("\n" .. variable .. "%.([%w_]+) =") do names[name] = "value" end
  return module, names
end


local function compare(path, module, names)
  if not module:match("^tide%.") then return end -- `ctx` is handed to scripts, not required
  local ok, exports = pcall(require, module)
  if not ok then return fault("%s: cannot require %s: %s", path, module, tostring(exports):match("[^\n]*")) end
  if type(exports) == "function" then return end
  if type(exports) ~= "table" then return fault("%s: %s is no table", path, module) end
  for name, value in pairs(exports) do
    local kind = names[name]
    if not kind then
      fault("%s: %s.%s is not documented", path, module, name)
    elseif kind == "function" and type(value) ~= "function" then
      fault("%s: %s.%s is documented as a function, but is a %s", path, module, name, type(value))
    end
  end
  for name, kind in pairs(names) do
    if kind == "function" and exports[name] == nil then
      fault("%s: %s.%s is documented, but not there", path, module, name)
    end
  end
end


local function check_registered(pages)
  local text = assert(host.read_file("runtime/bind/modules.c"))
  for module in text:gmatch('{"(tide%.[%w_.]+)",') do
    if not pages[module] and not module:find(INTERNAL) then
      fault("runtime/bind/modules.c: %s has no page in docs/api", module)
    end
  end
end


local pages = {}
for _, file in ipairs(assert(host.list("docs/api"))) do
  if file:find("%.lua$") then
    local path = "docs/api/" .. file
    local module, names = read_page(path)
    if module then
      pages[module] = true
      compare(path, module, names)
    end
  end
end
check_registered(pages)
table.sort(faults)
if #faults > 0 then error(table.concat(faults, "\n"), 0) end
print(("%d pages agree with their modules"):format(#assert(host.list("docs/api"))))
