-- Writes the pages that are generated: tidegate run tools/generate_docs.lua
-- With `check`, compares instead and fails when one is not up to date.

local check = require "tide.docs.check"
local configuration = require "tide.docs.configuration"
local manual = require "tide.docs.manual"
local policies = require "tide.docs.policies"
local host = require "tide.host"

local PAGES = {
  ["docs/check.md"] = check.render,
  ["docs/configuration.md"] = configuration.render,
  ["docs/policies.md"] = policies.render,
  ["man/tidegate.1"] = manual.render,
}
local MODE = 420                       -- 0644

local checking = (...) == "check"
for path, render in pairs(PAGES) do
  local text = render()
  if not checking then
    assert(host.write_file(path, text, MODE))
  elseif host.read_file(path) ~= text then
    error(path .. " is not what its generator writes: run `make docs`", 0)
  end
end
