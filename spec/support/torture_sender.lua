-- A sender of signed webhooks that does not give up: tidegate run torture_sender.lua URL SECRET RATE SECONDS_AT_MOST
--
-- RATE numbered events a second fall due; several connections send them, and send again what was not answered with
-- 200, with the same event id. Of what was, every REPEAT_EVERYth goes out once more. Each 200 is a line of `acks`
-- ("NUMBER ID DUPLICATE") as it comes. Ends once a file `stop` is there and everything sent is acknowledged, and
-- prints how many events that were.

local crypto = require "tide.crypto"
local host = require "tide.host"
local http = require "tide.http"
local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"

local CONNECTIONS = 24
local REPEAT_EVERY = 20
local RESEND_SECONDS = 0.02
local IDLE_SECONDS = 0.005
local TYPES = { [0] = "plain", "effect", "plain", "effects" }

local url, secret, rate, seconds_at_most = ...
local acks = assert(io.open("acks", "a"))
acks:setvbuf("no")
local start = time.monotonic()
local ending = start + tonumber(seconds_at_most)
local sent, stopping = 0, false


local function request_of(number)
  local body = json.encode { id = "event-" .. number, type = TYPES[number % 4], number = number }
  return {
    method = "POST", url = url, body = body, timeout_seconds = 5,
    headers = {
      { "Content-Type", "application/json" },
      { "X-Signature", crypto.hex(crypto.hmac("sha256", secret, body)) },
    },
  }
end


-- Sends an event until it is acknowledged.
local function deliver(number)
  local request = request_of(number)
  while time.monotonic() < ending do
    local response = http.request(request)
    if response and response.status == 200 then
      local answer = json.decode(response.body)
      acks:write(("%d %s %s\n"):format(number, answer.id, answer.duplicate))
      return
    end
    if response and response.status ~= 503 then
      error(("event %d was answered with %d: %s"):format(number, response.status, response.body), 0)
    end
    task.sleep(RESEND_SECONDS)
  end
  error(("event %d was not acknowledged in time"):format(number), 0)
end


local function send_events()
  while not stopping do
    if sent < (time.monotonic() - start) * tonumber(rate) then
      sent = sent + 1
      local number = sent
      deliver(number)
      if number % REPEAT_EVERY == 0 then
        deliver(number)
      end
    else
      task.sleep(IDLE_SECONDS)
    end
  end
end


local connections = {}
for index = 1, CONNECTIONS do
  connections[index] = task.spawn(send_events)
end
while not host.stat("stop") and time.monotonic() < ending do
  task.sleep(0.02)
end
stopping = true
for _, connection in ipairs(connections) do
  local ok, message = connection:join()
  if not ok then
    error(message, 0)
  end
end
print(sent)
