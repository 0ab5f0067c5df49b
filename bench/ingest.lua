-- Durable ingest: tidegate run bench/ingest.lua ADDRESS DATABASE SECRET
-- Verifies the HMAC of the raw body, decodes it, inserts it; 200 only after the commit.
-- bench/peers/ingest.js does the same by hand on fastify and better-sqlite3.

local crypto = require "tide.crypto"
local json = require "tide.json"
local server = require "tide.server"
local store = require "tide.store"
local task = require "tide.task"

local TABLE = [[
  CREATE TABLE ingest (id INTEGER PRIMARY KEY, event_id TEXT, type TEXT, body BLOB)]]
local INSERT = "INSERT INTO ingest (event_id, type, body) VALUES ($1, $2, $3)"
local HEADERS = { "Content-Type", "application/json" }

local address, database, secret = ...


local function handle(request)
  local body = request.body
  local expected = crypto.hex(crypto.hmac("sha256", secret, body))
  if not crypto.equal(expected, request:header("x-signature") or "") then
    return request:respond(401)
  end
  local event = json.decode(body)
  if not event then return request:respond(400) end
  local ok, message = store.execute(INSERT, event.id, event.type, store.blob(body))
  if not ok then return request:respond(503, nil, message) end
  request:respond(200, HEADERS, '{"ok":true}')
end


assert(store.open("sqlite:" .. database))
assert(store.execute(TABLE))
assert(server.listen(address, handle))
while true do task.sleep(3600) end
