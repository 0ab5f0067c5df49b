-- Functions of at most 100 lines, files of at most 800; prints the longest twenty of each.
-- lua5.4 tools/lint_lengths.lua

local FUNCTION_LINES_MAX = 100
local FILE_LINES_MAX = 800
local TOP = 20

local functions, files = {}, {}
local faults = 0


local function add(list, lines, name)
  list[#list + 1] = { lines = lines, name = name }
end


-- clang-format puts a function's head in the first column and its end alone on a line.
local function measure_c(file)
  local number, start, name = 0, nil, nil
  local head = ""
  for line in io.lines(file) do
    number = number + 1
    if start and line == "}" then
      add(functions, number - start + 1, ("%s:%d %s"):format(file, start, name))
      start = nil
    elseif not start and line:find("^[%a_]") then
      head = line
    end
    local opens = not start and line:find("%)%s*{$") and not line:find("^%s*%a+ *=")
    if opens then
      start = number
      name = head:match("([%w_]+)%(") or "?"
    end
  end
  add(files, number, file)
end


-- luac knows where a function begins and ends. Specs are data: `describe` is no function.
local function measure_lua(file)
  local number = 0
  for _ in io.lines(file) do number = number + 1 end
  add(files, number, file)
  if file:find("^spec/") then return end
  local pipe = assert(io.popen("luac5.4 -l -p '" .. file .. "' 2>&1"))
  for line in pipe:lines() do
    local first, last = line:match("^function <.*:(%d+),(%d+)>")
    if first then add(functions, last - first + 1, ("%s:%d"):format(file, first)) end
  end
  pipe:close()
end


local function report(list, what, limit)
  table.sort(list, function(a, b)
    if a.lines ~= b.lines then return a.lines > b.lines end
    return a.name < b.name
  end)
  print(("      longest %s (at most %d lines):"):format(what, limit))
  for index, one in ipairs(list) do
    local over = one.lines > limit
    if index <= TOP or over then
      print(("      %5d  %s%s"):format(one.lines, one.name, over and "  TOO LONG" or ""))
    end
    if over then faults = faults + 1 end
  end
end


local list = assert(io.popen("git ls-files 'runtime/*.[ch]' 'spec/*.[ch]' 'bench/*.[ch]' "
  .. "'scripts/*.lua' 'providers/*.lua' 'spec/*.lua' 'bench/*.lua' 'tools/*.lua' bench/run "
  .. "tools/run-tests"))
for file in list:lines() do
  if file:find("%.[ch]$") then measure_c(file) else measure_lua(file) end
end
list:close()
report(functions, "functions", FUNCTION_LINES_MAX)
report(files, "files", FILE_LINES_MAX)
os.exit(faults == 0)
