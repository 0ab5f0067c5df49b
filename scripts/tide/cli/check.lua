-- `tidegate check`: config.lua, every provider and the migrations, without starting anything: whether they load,
-- and what a reviewer finds in them.

local json = require "tide.json"
local boot = require "tide.boot"
local certificate = require "tide.certificate"
local command_line = require "tide.command_line"
local locate = require "tide.locate"
local migrations = require "tide.migrations"
local output = require "tide.output"
local project = require "tide.project"
local review = require "tide.review"
local secrets = require "tide.secrets"

local M = {}

M.summary = "check the configuration, every provider and the migrations"
M.usage = "check [-c config.lua] [--strict] [--json]"
M.options = {
  command_line.CONFIG, command_line.JSON,
  { name = "strict", help = "warnings fail, too" },
}


-- What keeps something from loading, as a finding: "FILE:LINE: message" taken apart.
local function load_finding(fault)
  local words, file, line = locate.split(fault)
  if not file then
    file, words = fault:match("^([^:\n]+%.%w+): (.*)$")
  end
  return { file = file, line = line, rule = "load", severity = "error", message = words or fault, text = fault }
end


local function warning_finding(words, file)
  return { file = file, rule = "certificate", severity = "warning", message = words, text = "warning: " .. words }
end


local function add_faults(findings, faults)
  for _, fault in ipairs(faults or {}) do
    findings[#findings + 1] = load_finding(fault)
  end
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


local function check_certificate(opened, findings)
  local expires_at, fault = opened:load_certificate()
  if expires_at == nil then
    add_faults(findings, { fault })
    return
  end
  local words = expires_at and certificate.warning(expires_at)
  if words then
    findings[#findings + 1] = warning_finding(words, opened.config_path)
  end
end


-- What was built, if anything was, and everything that was found.
local function look(config_path)
  local findings = {}
  local opened, faults = project.read(config_path)
  if not opened then
    add_faults(findings, faults)
    return nil, findings
  end
  boot.publish(opened.sources)
  local generation
  generation, faults = boot.build()
  add_faults(findings, generation and generation.errors or faults)
  if generation then
    secrets.load(generation)
  end
  add_faults(findings, migration_faults(opened))
  check_certificate(opened, findings)
  local found = review.run(opened.sources, generation)
  table.move(found, 1, #found, #findings + 1, findings)
  return generation, findings
end


local function text_of(finding)
  local kind = finding.severity == "warning" and "warning: " or ""
  return finding.text
    or ("%s:%d: %s%s (%s)"):format(finding.file, finding.line, kind, finding.message, finding.rule)
end


local function report(findings)
  for _, finding in ipairs(findings) do
    output.say(text_of(finding))
    finding.text = nil
  end
end


local function fails(findings, is_strict)
  for _, finding in ipairs(findings) do
    if finding.severity == "error" or is_strict then
      return true
    end
  end
  return false
end


local function summaries(generation)
  local list = json.array()
  for name, integration in pairs(generation.integrations) do
    list[#list + 1] = { name = name, version = integration.version,
      is_mock_mode = integration.values.is_mock_mode }
  end
  table.sort(list, function(left, right) return left.name < right.name end)
  return list
end


function M.run(options)
  local generation, findings = look(options.config)
  report(findings)
  if fails(findings, options.strict) then
    if options.json then
      output.print({ ok = false, findings = findings }, options)
    end
    return 1
  end
  output.print({ ok = true, integrations = summaries(generation),
    findings = #findings > 0 and findings or nil }, options)
  return 0
end


return M
