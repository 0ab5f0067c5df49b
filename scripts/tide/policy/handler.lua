-- The innermost policy of a script that is no operation: a webhook's handler, or what a provider tests itself by.

local json = require "tide.json"
local time = require "tide.time"
local context = require "tide.context"
local errors = require "tide.errors"
local script = require "tide.script"
local view = require "tide.view"

local M = {}

local RESULT_BYTES_MAX = 1024 * 1024


local function open_attempt(call)
  local attempt = {
    number = call.event and call.event.attempt or 1, started = time.monotonic(), started_at = time.now(),
    waited = 0, requests = {},
  }
  call.attempts[1] = attempt
  return attempt
end


-- What is stored of a handler's result: JSON, nil for none. Inside the script's budget.
local function encoded(result)
  if result == nil then
    return nil
  end
  local text, message = json.encode(view.plain(result), { max_bytes = RESULT_BYTES_MAX })
  if text == nil then
    error(errors.new("script_error", "the result of the handler cannot be stored as JSON: " .. message), 0)
  end
  return text
end


function M.wrap()
  return function(call)
    local attempt = open_attempt(call)
    local ctx = context.new(call)
    local ok, result = script.run(call, function()
      local data, failure = call.handler(ctx, call.input)
      if data == nil and failure ~= nil then
        error(failure, 0)
      end
      return encoded(data)
    end)
    attempt.ended = time.monotonic()
    if not ok then
      attempt.error = result
      return nil, result
    end
    return result
  end
end


return M
