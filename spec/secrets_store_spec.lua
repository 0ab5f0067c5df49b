local crypto = require "tide.crypto"
local host = require "tide.host"
local json = require "tide.json"
local state = require "tide.state.secrets"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local master_key = require "tide.secret.master_key"
local secrets = require "tide.secrets"
local secret_ageing = require "tide.secret.ageing"
local secret_seals = require "tide.secret.seals"
local secrets_store = require "tide.secret.store"
local opened = require "spec.support.store"

local KEY <const> = crypto.base64(("1"):rep(32))
local OTHER_KEY <const> = crypto.base64(("2"):rep(32))
local BY <const> = { actor = "tester", trace_id = ("a"):rep(32) }

local made = 0


describe("the store of secrets", function()
  local one, variables


  local function getenv(name)
    return variables[name]
  end


  setup(function()
    opened.open()
    local sql = host.asset("scripts/migrations/001_tables.sqlite.sql")
    for _, name in ipairs { "secrets", "audit_log" } do
      assert(store.execute((sql:match("CREATE TABLE " .. name .. " %(.-\n%);"))))
    end
  end)


  teardown(function()
    assert(store.execute("DROP TABLE secrets"))
    assert(store.execute("DROP TABLE audit_log"))
    for _, entry in ipairs(state.list("tidegate")) do
      if entry.name:match("^master_key") then
        state.remove("tidegate", entry.name)
      end
    end
  end)


  before_each(function()
    made = made + 1
    one = { name = "kept_" .. made, declared_secrets = { api_key = true, other = true } }
    variables = { TIDEGATE_MASTER_KEY = KEY }
  end)


  after_each(function()
    secrets.forget(one)
  end)


  local function put(name, value, keep_seconds)
    return secrets_store.put(one, name, value, keep_seconds, BY, getenv)
  end


  local function row(name)
    return store.query("SELECT * FROM secrets WHERE integration_name = $1 AND name = $2", one.name, name)[1]
  end


  local function audited()
    return store.query("SELECT * FROM audit_log WHERE integration_name = $1 ORDER BY id", one.name)
  end


  -- As another process would find it.
  local function load()
    secrets.forget(one)
    return assert(secrets_store.load({ integrations = { [one.name] = one } }, getenv))
  end


  local function variable(name)
    return ("TIDEGATE_%s_%s"):format(one.name:upper(), name)
  end


  it("keeps both values while a secret is rotated, and says until when", function()
    assert(put("api_key", "first-value"))
    local entry = assert(put("api_key", "second-value", 60))
    assert.near(time.now() + 60, time.parse(entry.previous_expires_at), 5)
    local active = { { value = "second-value", id = "api_key" }, { value = "first-value", id = "api_key:previous" } }
    assert.same(active, secrets.active(one, "api_key"))
    assert.same({}, load())
    assert.same(active, secrets.active(one, "api_key"))
    entry = assert(put("api_key", "third-value", 60))
    assert.is_string(entry.previous_expires_at)
    local current, previous = secrets.pair(one, "api_key")
    assert.same({ "third-value", "second-value" }, { current, previous })
  end)


  it("gives the new value alone once the previous one has expired, after a restart too", function()
    host.freeze_clock()
    finally(host.thaw_clock)
    assert(put("api_key", "first-value"))
    assert(put("api_key", "second-value", 60))
    host.advance_clock(59)
    assert.equal(2, #secrets.active(one, "api_key"))
    load()
    assert.equal(2, #secrets.active(one, "api_key"))
    host.advance_clock(1)
    assert.same({ { value = "second-value", id = "api_key" } }, secrets.active(one, "api_key"))
    load()
    assert.same({ { value = "second-value", id = "api_key" } }, secrets.active(one, "api_key"))
  end)


  it("drops the previous value at once when a new one comes without time for it", function()
    assert(put("api_key", "first-value"))
    assert(put("api_key", "second-value", 60))
    assert(put("api_key", "third-value"))
    assert.same({ { value = "third-value", id = "api_key" } }, secrets.active(one, "api_key"))
    assert.is_nil(row("api_key").previous_encrypted)
  end)


  it("takes the same value again for no rotation; the previous one can be ended by it", function()
    assert(put("api_key", "first-value"))
    local rotated = assert(put("api_key", "second-value", 60))
    assert.equal(rotated.previous_expires_at, put("api_key", "second-value", 600).previous_expires_at)
    assert.equal(rotated.previous_expires_at, put("api_key", "second-value").previous_expires_at)
    local shortened = put("api_key", "second-value", 10).previous_expires_at
    assert.is_true(shortened < rotated.previous_expires_at)
    assert.is_nil(put("api_key", "second-value", 0).previous_expires_at)
    assert.same({ { value = "second-value", id = "api_key" } }, secrets.active(one, "api_key"))
  end)


  it("keeps the environment's value as the previous one, encrypted", function()
    variables[variable("API_KEY")] = "environment-value"
    load()
    assert(put("api_key", "stored-value", 60))
    variables[variable("API_KEY")] = "changed-meanwhile"
    load()
    assert.same({ { value = "stored-value", id = "api_key" }, { value = "environment-value",
      id = "api_key:previous" } }, secrets.active(one, "api_key"))
    assert.equal("environment", json.decode(audited()[1].old_value).source)
  end)


  it("drops tokens that were fetched with the old value", function()
    assert(put("api_key", "first-value"))
    state.put(one.name, "auth:token:x", "fetched-token", "token")
    assert(put("api_key", "first-value"))
    assert.equal("fetched-token", (state.get(one.name, "auth:token:x")))
    assert(put("api_key", "second-value", 60))
    assert.is_nil((state.get(one.name, "auth:token:x")))
  end)


  it("hides every value that is active, and no part of one is in a row", function()
    assert(put("api_key", "first-value-of-it"))
    assert(put("api_key", "second-value-of-it", 60))
    assert.equal("[redacted] [redacted]", state.redact("first-value-of-it second-value-of-it"))
    local found = row("api_key")
    for _, column in ipairs { "value_encrypted", "previous_encrypted" } do
      assert.is_nil(found[column]:find("value-of-it", 1, true))
    end
    assert.equal("[redacted]", state.redact(KEY))
    for _, entry in ipairs(audited()) do
      assert.is_nil((entry.old_value .. entry.new_value):find("value-of-it", 1, true))
      assert.same({ "tester", "secret.put", "api_key", BY.trace_id },
        { entry.actor, entry.action, entry.subject, entry.trace_id })
    end
  end)


  it("opens a row nowhere but at its place, and a previous value not as the current one", function()
    assert(put("api_key", "first-value"))
    assert(put("api_key", "second-value", 60))
    assert(store.execute("UPDATE secrets SET value_encrypted = previous_encrypted WHERE integration_name = $1",
      one.name))
    local found = load()
    assert.equal(1, #found)
    assert.matches("its row was damaged or is that of another secret", found[1])
    assert.same({}, secrets.active(one, "api_key"))
    assert(put("api_key", "third-value"))
    assert.same({}, load())
  end)


  it("leaves everything as it was when the change cannot be committed", function()
    assert(put("api_key", "first-value"))
    assert(put("api_key", "second-value", 60))
    local before, active = row("api_key"), secrets.active(one, "api_key")
    assert(store.execute("ALTER TABLE audit_log RENAME TO audit_log_away"))
    local entry, err = put("api_key", "third-value", 60)
    local deleted, fault = secrets_store.delete(one, "api_key", BY, getenv)
    assert(store.execute("ALTER TABLE audit_log_away RENAME TO audit_log"))
    assert.is_nil(entry)
    assert.equal("unavailable", err.code)
    assert.is_nil(deleted)
    assert.equal("unavailable", fault.code)
    assert.same(before, row("api_key"))
    assert.same(active, secrets.active(one, "api_key"))
  end)


  -- A commit of which the store does not say in time that it was done, or was not.
  local function with_late_store(commits, test)
    local transaction = store.transaction
    store.transaction = function(statements)
      if commits then
        assert(transaction(statements))
      end
      return nil, "no answer in 5 s", "timeout"
    end
    local ok, message = pcall(test)
    store.transaction = transaction
    assert(ok, message)
  end


  it("lets what is stored count when the store does not answer in time", function()
    assert(put("api_key", "first-value"))
    for _, commits in ipairs { true, false } do
      with_late_store(commits, function()
        local entry, err = put("api_key", "value-" .. tostring(commits), 60)
        assert.is_nil(entry)
        assert.equal("unavailable", err.code)
      end)
      local active = secrets.active(one, "api_key")
      assert.same({ "value-true", "first-value" }, { active[1].value, active[2].value })
    end
    with_late_store(true, function() assert.is_nil((secrets_store.delete(one, "api_key", BY, getenv))) end)
    assert.same({}, secrets.active(one, "api_key"))
  end)


  it("is changed by one at a time: the last to commit is in effect", function()
    local branches = {}
    for index = 1, 100 do
      branches[index] = function()
        if index % 10 == 0 then
          return secrets_store.delete(one, "api_key", BY, getenv) or true
        end
        return put("api_key", "value-number-" .. index, 60)
      end
    end
    task.all(branches, { limit = 100 })
    local active = secrets.active(one, "api_key")
    assert.same({}, load())
    assert.same(active, secrets.active(one, "api_key"))
    assert.is_true(#audited() > 90)
  end)


  it("forgets what nobody declares any more, a minute after", function()
    host.freeze_clock()
    assert(put("api_key", "first-value"))
    assert(put("api_key", "second-value", 600))
    assert(put("other", "other-value"))
    state.put(one.name, "auth:token:x", "fetched-token", "token")
    local generation = { integrations = { [one.name] = one } }
    local cleaner = secret_ageing.start(function() return generation end)
    finally(host.thaw_clock)
    local function names()
      local list = {}
      for index, entry in ipairs(state.list(one.name)) do
        list[index] = entry.name
      end
      table.sort(list)
      return table.concat(list, " ")
    end
    host.advance_clock(180)
    assert.equal("api_key api_key:previous auth:token:x other", names())
    one.declared_secrets.other = nil
    host.advance_clock(60)
    assert.equal("api_key api_key:previous auth:token:x other", names())
    host.advance_clock(60)
    assert.equal("api_key api_key:previous auth:token:x", names())
    generation = { integrations = {} }
    host.advance_clock(60)
    generation = { integrations = { [one.name] = one } }
    host.advance_clock(60)
    generation = { integrations = {} }
    host.advance_clock(60)
    assert.equal("api_key api_key:previous auth:token:x", names())
    host.advance_clock(60)
    assert.equal("", names())
    cleaner:cancel()
    -- What is stored stays stored.
    assert.same({}, load())
    assert.is_table(row("other"))
  end)


  it("seals what is under another key under the first, but not what it cannot open", function()
    assert(put("api_key", "first-value"))
    assert(put("api_key", "second-value", 60))
    assert(put("other", "of-no-use"))
    assert(store.execute("UPDATE secrets SET key_id = 'deadbeef' WHERE integration_name = $1 AND name = 'other'",
      one.name))
    local before, unreadable = row("api_key"), row("other")
    variables.TIDEGATE_MASTER_KEY = OTHER_KEY .. "," .. KEY
    secret_seals.follow(getenv)
    variables.TIDEGATE_MASTER_KEY = OTHER_KEY
    assert.equal(master_key.load(getenv).id, row("api_key").key_id)
    assert.same({ before.updated_at, before.created_at, before.previous_expires_at },
      { row("api_key").updated_at, row("api_key").created_at, row("api_key").previous_expires_at })
    assert.same(unreadable, row("other"))
    assert.equal(1, #load())
    assert.equal(2, #secrets.active(one, "api_key"))
  end)


  it("seals any number of rows anew", function()
    for index = 1, 45 do
      one.declared_secrets["s" .. index] = true
      assert(put("s" .. index, "value-number-" .. index))
    end
    variables.TIDEGATE_MASTER_KEY = OTHER_KEY .. "," .. KEY
    secret_seals.follow(getenv)
    variables.TIDEGATE_MASTER_KEY = OTHER_KEY
    assert.same({}, load())
    assert.equal("value-number-45", secrets.value(one, "s45"))
  end)


  it("ignores rows of secrets that are not declared, and leaves them alone", function()
    assert(put("other", "some-value"))
    one.declared_secrets.other = nil
    assert.same({}, load())
    assert.is_nil((state.get(one.name, "other")))
    assert.is_table(row("other"))
    local entry, err = put("other", "some-value")
    assert.is_nil(entry)
    assert.equal("not_found", err.code)
  end)


  it("says when the store cannot be read, rather than take the environment's values", function()
    variables[variable("API_KEY")] = "environment-value"
    assert(store.execute("ALTER TABLE secrets RENAME TO secrets_away"))
    local found, message = secrets_store.load({ integrations = { [one.name] = one } }, getenv)
    assert(store.execute("ALTER TABLE secrets_away RENAME TO secrets"))
    assert.is_nil(found)
    assert.matches("the stored secrets of " .. one.name .. " could not be read", message)
    assert.same({}, secrets.active(one, "api_key"))
  end)
end)


describe("the master key", function()
  local function load(text)
    return master_key.load(function(name) return name == "TIDEGATE_MASTER_KEY" and text or nil end)
  end


  after_each(function()
    for _, entry in ipairs(state.list("tidegate")) do
      if entry.name:match("^master_key") then
        state.remove("tidegate", entry.name)
      end
    end
  end)


  it("is not needed", function()
    assert.is_false(load(nil))
    assert.is_false(load(""))
  end)


  it("is 32 bytes in base64, or several, the first of which encrypts", function()
    local keys = load(" " .. OTHER_KEY .. " ,\n" .. KEY)
    local sealed = keys:seal("a value", "a purpose")
    assert.equal("a value", keys:open(keys.id, sealed, "a purpose"))
    assert.is_nil(keys:open(keys.id, sealed, "another purpose"))
    assert.equal("a value", load(OTHER_KEY):open(keys.id, sealed, "a purpose"))
    assert.is_false(load(KEY):has(keys.id))
    assert.is_true(keys:has(load(KEY).id))
    assert.equal(crypto.hex(crypto.digest("sha256", "tidegate key id" .. ("2"):rep(32))):sub(1, 8), keys.id)
  end)


  it("that is malformed is refused without being shown, and known to redaction all the same", function()
    local short = crypto.base64(("1"):rep(31))
    for _, text in ipairs { short, "not-base64-at-all", ("="):rep(9), KEY:sub(1, -2), KEY .. "," .. short, KEY .. ",",
      "," .. KEY, (KEY .. ","):rep(16) .. KEY } do
      local keys, fault = load(text)
      assert.is_nil(keys)
      assert.matches("^TIDEGATE_MASTER_KEY: ", fault)
      assert.is_nil(fault:find(text, 1, true))
      assert.is_nil(state.redact("said of " .. text):find(text, 1, true))
    end
  end)
end)
