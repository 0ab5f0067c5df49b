-- Includes point one way only: lua5.4 tools/lint_layers.lua
--   base <- state <- bind      base <- io <- bind      base <- engine <- bind      bind <- main

local MAY_INCLUDE = {
  base = { base = true },
  state = { base = true, state = true },
  io = { base = true, io = true },
  engine = { base = true, engine = true },
  bind = { base = true, state = true, io = true, engine = true, bind = true },
  main = { base = true, engine = true, bind = true },
}
local LUA_HEADERS = { ["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true }
local WITHOUT_LUA = { base = true, state = true, io = true }
local WITHOUT_UV = { base = true, state = true }

local faults = 0


local function fault(file, line, ...)
  io.write(("%s:%d: "):format(file, line), ...)
  io.write("\n")
  faults = faults + 1
end


local function check_quoted(file, number, layer, header)
  local target = header:match("^(%a+)/[%w_]+%.h$")
  if not target then
    return fault(file, number, 'write "', header, '" relative to runtime/, as "layer/name.h"')
  end
  if not MAY_INCLUDE[layer][target] then
    fault(file, number, layer, " may not include ", header)
  end
end


local function check_angled(file, number, layer, header)
  if LUA_HEADERS[header] and WITHOUT_LUA[layer] then
    fault(file, number, "no Lua in ", layer, "/")
  end
  if header == "uv.h" and WITHOUT_UV[layer] then
    fault(file, number, "no event loop in ", layer, "/")
  end
end


local function check_file(file)
  local layer = file:match("^runtime/(%a+)/") or "main"
  if not MAY_INCLUDE[layer] then return fault(file, 1, "no such layer: ", layer) end
  local number = 0
  for line in io.lines(file) do
    number = number + 1
    local quoted = line:match('^%s*#%s*include%s+"([^"]+)"')
    local angled = line:match("^%s*#%s*include%s+<([^>]+)>")
    if quoted then check_quoted(file, number, layer, quoted) end
    if angled then check_angled(file, number, layer, angled) end
  end
end


local list = assert(io.popen("git ls-files 'runtime/*.[ch]'"))
for file in list:lines() do check_file(file) end
list:close()
os.exit(faults == 0)
