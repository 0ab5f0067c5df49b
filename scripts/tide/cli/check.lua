-- `tidegate check`: config.lua and every provider, without starting anything.

local boot = require "tide.boot"
local certificate = require "tide.certificate"
local command_line = require "tide.command_line"
local migrations = require "tide.migrations"
local output = require "tide.output"
local project = require "tide.project"

local M = {}

M.summary = "check the configuration, every provider and the migrations"
M.usage = "check [-c config.lua] [--json]"
M.options = { command_line.CONFIG, command_line.JSON }


local function report(faults)
  for _, fault in ipairs(faults) do
    output.say(fault)
  end
  return 1
end


local function summaries(generation)
  local list = {}
  for name, integration in pairs(generation.integrations) do
    list[#list + 1] = { name = name, version = integration.version,
      is_mock_mode = integration.values.is_mock_mode }
  end
  table.sort(list, function(left, right) return left.name < right.name end)
  return list
end


-- nil when all is well. The SQL is tried on a database that is thrown away.
local function migration_faults(opened)
  local list, faults = opened:migrations()
  if not list or #list == 0 then
    return faults
  end
  local done, fault = migrations.try(list)
  return not done and { fault } or nil
end


function M.run(options)
  local opened, faults = project.read(options.config)
  if not opened then
    return report(faults)
  end
  boot.publish(opened.sources)
  local generation
  generation, faults = boot.build()
  if not generation then
    return report(faults)
  end
  if #generation.errors > 0 then
    return report(generation.errors)
  end
  faults = migration_faults(opened)
  if faults then
    return report(faults)
  end
  local expires_at, fault = opened:load_certificate()
  if expires_at == nil then
    return report({ fault })
  end
  local warning = expires_at and certificate.warning(expires_at)
  if warning then
    output.say("warning: " .. warning)
  end
  output.print({ ok = true, integrations = summaries(generation) }, options)
  return 0
end


return M
