-- A project's tables, and an integration under test that works on them.

local errors = require "tide.errors"
local host = require "tide.host"
local t = require "tide.test"

local M = {}

M.TABLES = [[
CREATE TABLE parcels (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  code TEXT UNIQUE,
  weight REAL,
  raw BLOB
);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL CHECK (value >= 0));
CREATE TABLE moves (parcel INTEGER NOT NULL REFERENCES parcels (id) DEFERRABLE INITIALLY DEFERRED);
CREATE VIRTUAL TABLE notes USING fts5 (body);
CREATE VIEW spied AS SELECT event_id FROM tidegate_transactions;
INSERT INTO counters VALUES ('calls', 0);
]]

-- A query that never ends.
M.ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"

local SOURCE = [[
local json = require "tide.json"
local fail = require "tide.fail"
local ENDLESS = %q
return {
  config = { base_url = "https://api.acme.example", max_retries = 2, total_timeout_seconds = 30 },
  operations = {
    act = { input = { type = "object", additionalProperties = true }, %s
      run = function(ctx, input) %s end, mock = function() return 1 end },
    other = { run = function() return 1 end, mock = function() return 1 end },
  },
}
]]


-- Makes the folder of the migrations; the function that removes it, for a teardown.
function M.folder(files)
  local folder = os.tmpname()
  os.remove(folder)
  assert(host.make_directory(folder, 448))
  for name, text in pairs(files or { ["001_tables.sql"] = M.TABLES }) do
    assert(host.write_file(folder .. "/" .. name, text, 384))
  end
  return folder, function() os.execute("rm -r " .. folder) end
end


-- The text of a provider whose operation `act` has this body.
function M.source(body, more)
  return SOURCE:format(M.ENDLESS, more or "", body)
end


-- A runtime with that provider. `options`: config, migrations (the folder), operation (further keys of
-- the operation), clock.
function M.acme(folder, body, options)
  options = options or {}
  return t.integration("acme", {
    source = M.source(body, options.operation), config = options.config, clock = options.clock,
    migrations = options.migrations or folder,
  })
end


-- What a function raised, an error table with this code and a message like `pattern`.
function M.failure(code, pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok and errors.is(err), tostring(err))
  assert(err.code == code and err.message:find(pattern), tostring(err))
  return err
end


return M
