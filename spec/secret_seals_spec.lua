-- Stored secrets go under another master key, whatever happens meanwhile.

local crypto = require "tide.crypto"
local json = require "tide.json"
local task = require "tide.task"
local support = require "spec.support.service"

local KEY <const> = crypto.base64(("k"):rep(32))
local OTHER_KEY <const> = crypto.base64(("o"):rep(32))
local COUNT <const> = 400
local KILLS_MAX <const> = 6

-- Run on the project's store: seals COUNT secrets, or says how many open and under how many keys they are.
local STORE <const> = [[
local host, json, store = require "tide.host", require "tide.json", require "tide.store"
local master_key, row_of = require "tide.secret.master_key", require "tide.secret.row"
assert(store.open("sqlite:var/tidegate.db"))
local keys = assert(master_key.load())
local function name_of(index) return ("s%%03d"):format(index) end
]]
local FILL <const> = STORE .. [[
local statements = {}
for index = 1, %d do
  statements[index] = row_of.put_statement(keys, "shop", name_of(index), { value = "value-" .. index },
    "2026-01-01T00:00:00.000Z")
end
assert(store.transaction(statements))
return 0
]]
local COUNT_OPEN <const> = STORE .. [[
local found = { open = 0, renewed = 0 }
for index, row in ipairs(assert(store.query("SELECT * FROM secrets ORDER BY name"))) do
  local held = row_of.open(keys, row)
  found.open = found.open + (held and held.value == "value-" .. index and 1 or 0)
  found.renewed = found.renewed + (row.key_id == keys.id and 1 or 0)
end
host.write("stdout", json.encode(found))
return 0
]]


describe("stored secrets", function()
  local project
  local both = { TIDEGATE_MASTER_KEY = OTHER_KEY .. "," .. KEY }


  before_each(function()
    project = support.project {
      ["fill.lua"] = FILL:format(COUNT), ["count.lua"] = (COUNT_OPEN:gsub("%%%%", "%%")),
    }
    -- Makes the tables.
    assert.equal(0, (project:run { "migrate" }))
    local code, _, err = project:run({ "run", "fill.lua" }, { TIDEGATE_MASTER_KEY = KEY })
    assert.equal(0, code, err)
  end)


  after_each(function()
    project:close()
  end)


  local function counted()
    local code, out, err = project:run({ "run", "count.lua" }, both)
    assert.equal(0, code, err)
    return json.decode(out)
  end


  it("are whole, each under one key or the other, when their sealing is killed; the next one ends it", function()
    local kills, ended = 0
    repeat
      local process = project:start({ "secret", "rekey" }, both)
      ended = task.timeout((20 + kills * 15) / 1000, process.wait, process) ~= nil
      if not ended then
        process:signal("KILL")
        process:wait()
        kills = kills + 1
      end
      assert.equal(COUNT, counted().open)
    until ended or kills == KILLS_MAX
    assert.is_true(kills > 0)
    local _, out = project:run({ "secret", "rekey" }, both)
    assert.equal(0, json.decode(out).data.left)
    assert.same({ open = COUNT, renewed = COUNT }, counted())
    local audited = project:query("SELECT new_value FROM audit_log WHERE action = 'secret.rekey'")
    local sum = 0
    for _, row in ipairs(audited) do
      sum = sum + json.decode(row.new_value).secrets
    end
    assert.equal(COUNT, sum)
  end)
end)
