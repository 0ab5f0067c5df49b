local host = require "tide.host"
local json = require "tide.json"
local store = require "tide.store"
local migrations = require "tide.migrations"
local patches = require "tide.settings.patch"
local row_of = require "tide.settings.row"
local run_time_settings = require "tide.settings.run_time"
local t = require "tide.test"
local task = require "tide.task"
local opened = require "spec.support.store"
local support = require "spec.support.service"
local values = require "spec.support.random_settings"

local seed = tonumber(os.getenv("SEED")) or os.time()

local BY <const> = { actor = "tester", trace_id = ("a"):rep(32), is_admin = true }
local TABLES <const> = { "config_history", "integration_configs", "audit_log" }

local SHOP <const> = [[
return { config = { base_url = "http://127.0.0.1:1" }, operations = { look = { run = function() return {} end } } }
]]


describe("run-time settings in the store", function()
  local generation, shop


  setup(function()
    opened.open()
    for _, migration in ipairs(migrations.framework("sqlite")) do
      for statement in migration.sql:gmatch("CREATE TABLE [^;]-;") do
        local name = statement:match("CREATE TABLE ([%w_]+)")
        for _, wanted in ipairs(TABLES) do
          if name == wanted then
            assert(store.execute((statement:gsub(";$", ""))))
          end
        end
      end
    end
  end)


  -- Whatever this process has published before is older, and what it publishes after says nothing of ours.
  setup(function()
    local _, version = host.published("settings")
    assert(store.execute("INSERT INTO config_history (sequence, integration_name, version, actor, patch, settings) "
      .. "VALUES ($1, 'nobody', 1, 'nobody', '{}', '{}')", (version or 0) + 1))
    assert(store.execute("DELETE FROM config_history"))
  end)


  teardown(function()
    host.publish("settings", "{}")
    for _, name in ipairs(TABLES) do
      assert(store.execute("DROP TABLE " .. name))
    end
  end)


  before_each(function()
    generation = t.integration("shop", { source = SHOP }).generation
    shop = generation.integrations.shop
  end)


  after_each(function()
    for _, name in ipairs(TABLES) do
      assert(store.execute("DELETE FROM " .. name))
    end
  end)


  local function published()
    local bytes, version = host.published("settings")
    return bytes and json.decode(bytes) or {}, version or 0
  end


  local function change(patch, by)
    return run_time_settings.change(generation, shop, patch, by or BY)
  end


  local function count(name)
    return store.query("SELECT count(*) AS n FROM " .. name)[1].n
  end


  it("are published as they are stored, under a version that grows", function()
    local _, before = published()
    assert(change { max_retries = 7 })
    local settings, version = published()
    assert.same({ max_retries = 7 }, settings.shop)
    assert.is_true(version > before)
    assert(change { max_retries = json.null })
    local emptied, later = published()
    assert.is_nil(emptied.shop)
    assert.is_true(later > version)
  end)


  it("can be taken away when no version knows them any more", function()
    assert(change { max_retries = 7 })
    assert(store.execute("UPDATE integration_configs SET settings = '{\"gone\":1}'"))
    assert(store.execute("UPDATE config_history SET settings = '{\"gone\":1,\"max_retries\":7}'"))
    generation.overrides = { shop = { gone = 1, max_retries = 7 } }
    local refused, err = change { gone = 2 }
    assert.is_nil(refused)
    assert.equal("#/gone", err.errors[1].pointer)
    assert(change { gone = json.null })
    assert.same({ max_retries = 7 }, (published()).shop)
    assert(store.execute("UPDATE integration_configs SET settings = '{\"gone\":1}'"))
    assert(run_time_settings.rollback(generation, shop, 0, BY))
    assert.is_nil((published()).shop)
    refused, err = change { never = json.null }
    assert.is_nil(refused)
    assert.equal("#/never", err.errors[1].pointer)
  end)


  it("are not taken for broken while there is no memory to read them", function()
    local decode, number, failing = json.decode, 0, nil
    finally(function() json.decode = decode end)
    function json.decode(text, ...)
      if text == '{"city":"Seoul"}' then
        number = number + 1
        if number == failing then
          return nil, "JSON not decoded: no memory for a string", "out_of_memory"
        end
      end
      return decode(text, ...)
    end
    assert(change { extra_config = { city = "Seoul" } })
    number, failing = 0, 1 -- before the change is made
    assert.has_error(function() change { max_retries = 3 } end)
    assert.same({ extra_config = { city = "Seoul" } }, (published()).shop)
    number, failing = 0, 2 -- when it is committed, and about to be published
    local changing = task.spawn(change, { max_retries = 4 })
    support.wait("the second try", function()
      t.advance(0.5)
      return changing:status() == "done"
    end)
    assert.is_true(changing:join())
    assert.same({ extra_config = { city = "Seoul" }, max_retries = 4 }, (published()).shop)
    assert.is_true(number >= 3)
  end)


  it("are made again on what is there when another process was faster", function()
    local transaction = store.transaction
    local rivals = 3
    finally(function() store.transaction = transaction end)
    -- The other's change is committed between our look and our commit.
    function store.transaction(statements)
      if rivals > 0 then
        rivals = rivals - 1
        local version = store.query("SELECT max(version) AS n FROM config_history")[1].n or 0
        assert(transaction {
          { "INSERT INTO config_history (integration_name, version, actor, patch, settings) "
            .. "VALUES ('shop', $1, 'other', '{}', '{}')", version + 1 },
          row_of.statement(shop, { max_retries = rivals, slow_call_ms = 5 }, "2026-01-15T09:00:00.000Z"),
        })
      end
      return transaction(statements)
    end
    local data = assert(change { timeout_seconds = 9 })
    assert.equal(4, data.version)
    assert.same({ 9, 5, 0 }, { data.values.timeout_seconds, data.values.slow_call_ms, data.values.max_retries })
    assert.same({ 4, 1 }, { count("config_history"), count("audit_log") })
  end)


  it("give up when others are always faster", function()
    local transaction = store.transaction
    finally(function() store.transaction = transaction end)
    function store.transaction()
      return nil, "UNIQUE constraint failed", "constraint"
    end
    local done, err = change { timeout_seconds = 9 }
    assert.is_nil(done)
    assert.same({ "conflict", 1 }, { err.code, err.retry_after })
  end)


  it("change nothing when the store does not take them", function()
    local transaction = store.transaction
    finally(function() store.transaction = transaction end)
    function store.transaction()
      return nil, "the disk is full", "unavailable"
    end
    local _, version = published()
    local done, err = change { timeout_seconds = 9 }
    assert.same({ nil, "unavailable" }, { done, err.code })
    assert.equal(version, (select(2, published())))
    store.transaction = transaction
    assert.equal(0, run_time_settings.get(generation, "shop").version)
  end)


  it("keep as many versions as can be gone back to, the newest ones", function()
    local most = run_time_settings.VERSIONS_MAX
    finally(function() run_time_settings.VERSIONS_MAX = most end)
    run_time_settings.VERSIONS_MAX = 3
    for index = 1, 6 do
      assert(change { max_retries = index })
    end
    local rows = assert(run_time_settings.history(shop, 10))
    assert.same({ 6, 5, 4 }, { rows[1].version, rows[2].version, rows[3].version })
    assert.equal(3, #rows)
    local done, err = run_time_settings.rollback(generation, shop, 2, BY)
    assert.same({ nil, "not_found" }, { done, err.code })
    assert.equal(7, run_time_settings.rollback(generation, shop, 4, BY).version)
  end)


  it("are refused when all together would be too many", function()
    local most = run_time_settings.ALL_BYTES_MAX
    finally(function() run_time_settings.ALL_BYTES_MAX = most end)
    run_time_settings.ALL_BYTES_MAX = 1000
    assert(change { extra_config = { text = ("x"):rep(400) } })
    local done, err = change { extra_config = { more = ("x"):rep(400) } }
    assert.same({ nil, "payload_too_large" }, { done, err.code })
    assert(change { extra_config = json.null })
  end)


  it("of which the audit log holds what changed, and no more", function()
    assert(change { extra_config = { long = ("x"):rep(10000), unit = { size = 1, kind = "a" } } })
    assert(change { extra_config = { long = ("x"):rep(10000), unit = { size = 2 } }, max_retries = 4 })
    local row = store.query("SELECT old_value, new_value FROM audit_log ORDER BY id DESC LIMIT 1")[1]
    assert.same({ extra_config = { unit = { size = 1 } }, max_retries = json.null }, json.decode(row.old_value))
    assert.same({ extra_config = { unit = { size = 2 } }, max_retries = 4 }, json.decode(row.new_value))
  end)


  it("come back from any row as they went into it", function()
    local random = values.generator(seed)
    local keys = values.live_keys()
    for round = 1, 200 do
      local patch = {}
      for _, key in ipairs(keys) do
        if random(3) == 1 then
          patch[key.name] = values.right(random, key)
        end
      end
      local overrides = patches.apply({}, assert(patches.check(patch)))
      local statement = row_of.statement(shop, overrides, "2026-01-15T09:00:00.000Z")
      assert(store.execute(table.unpack(statement, 1, statement.n + 1)))
      local row = store.query("SELECT " .. row_of.COLUMNS .. " FROM integration_configs AS c")[1]
      local read, faults = row_of.read(row)
      assert.same({}, faults)
      assert.equal(json.encode(overrides, { canonical = true }), json.encode(read, { canonical = true }),
        ("seed %d, round %d"):format(seed, round))
    end
  end)


  it("differ by a patch that makes one of the other, for any two", function()
    local random = values.generator(seed)
    local keys = values.live_keys()
    local function any()
      local overrides = {}
      for _ = 1, random(6) do
        local key = values.pick(random, keys)
        overrides[key.name] = values.right(random, key)
      end
      return overrides
    end
    for round = 1, 300 do
      local before, after = any(), any()
      local made = patches.apply(before, patches.between(before, after))
      assert.is_true(patches.same(patches.apply({}, after), made), ("seed %d, round %d"):format(seed, round))
    end
  end)
end)
