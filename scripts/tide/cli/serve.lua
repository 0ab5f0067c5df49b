-- `tidegate serve`: the service, until a signal ends it.

local command_line = require "tide.command_line"

local M = {}

M.summary = "start the service"
M.usage = "serve [-c config.lua] [--listen ADDR] [--workers N] [--strict]"
M.options = {
  command_line.CONFIG,
  { name = "listen", value = "ADDR", list = true, help = "HOST:PORT, [V6]:PORT or unix:PATH instead of `listen`" },
  { name = "workers", value = "N", number = true, help = "worker threads instead of `workers`" },
  { name = "strict", help = "do not start when a provider does not load" },
}

local WORKERS_MAX = 256


function M.run(options)
  if options.workers and (options.workers < 1 or options.workers > WORKERS_MAX) then
    return 2, "--workers takes 1 to " .. WORKERS_MAX
  end
  return require("tide.service").run(options)
end


return M
