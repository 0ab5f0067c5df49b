-- The examples of docs/console.md do what the page says, in its order, in one console.

local host = require "tide.host"
local console = require "spec.support.console"
local service = require "spec.support.service"

local PAGE_BYTES_MAX = 1024 * 1024
local PROMPT, CONTINUED = "tide> ", "  ... "


local function blocks_of(page, language)
  local blocks = {}
  for block in page:gmatch("\n```" .. language .. "\n(.-)\n```") do
    blocks[#blocks + 1] = block
  end
  return blocks
end


-- { input, output } each.
local function steps_of(block)
  local steps = {}
  for line in (block .. "\n"):gmatch("([^\n]*)\n") do
    local step = steps[#steps]
    if line:sub(1, #PROMPT) == PROMPT then
      steps[#steps + 1] = { input = line:sub(#PROMPT + 1), lines = {} }
    elseif line:sub(1, #CONTINUED) == CONTINUED then
      step.input = step.input .. "\n" .. line:sub(#CONTINUED + 1)
    else
      step.lines[#step.lines + 1] = line
    end
  end
  return steps
end


-- "…" is anything.
local function pattern_of(text)
  return "^" .. text:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("…", ".-") .. "$"
end


describe("the page about the console", function()
  local page, project, session


  setup(function()
    page = assert(host.read_file("docs/console.md", PAGE_BYTES_MAX))
    project = service.project { ["providers/parcels.lua"] = blocks_of(page, "lua")[1] }
    project:serve()
    session = console.open(project, { width = 80 })
  end)


  teardown(function()
    session:close()
    project:close()
  end)


  it("shows what its examples print", function()
    local count = 0
    for _, block in ipairs(blocks_of(page, "console")) do
      for _, step in ipairs(steps_of(block)) do
        count = count + 1
        local printed = console.run(session, step.input)
        assert.matches(pattern_of(table.concat(step.lines, "\n")), printed, 1, false, step.input)
      end
    end
    assert.is_true(count > 20)
  end)


  it("names every verb", function()
    for _, name in ipairs(require("tide.console.verbs").names()) do
      assert.is_truthy(page:find("`." .. name, 1, true), name)
    end
  end)
end)
