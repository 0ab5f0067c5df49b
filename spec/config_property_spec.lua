local json = require "tide.json"
local schema = require "tide.schema"
local settings = require "tide.settings"
local settings_shape = require "tide.settings.shape"
local support = require "spec.support.service"
local values = require "spec.support.random_settings"

local seed = tonumber(os.getenv("SEED")) or os.time()

local PATH <const> = "/api/v1/integrations/shop/config"

local SHOP <const> = [[
local function look(ctx) return ctx.config end
return { operations = { look = { run = look, mock = look } } }
]]

-- They decide whether a call comes to the provider at all.
local IN_THE_WAY <const> = { is_enabled = true, mock_error_rate = true, mock_responses = true, mock_delay_ms = true,
  total_timeout_seconds = true, max_concurrency = true, rate_limit_enabled = true }


describe("configuration", function()
  local KEYS = values.live_keys()


  -- A config.lua with some settings of `shop`, each on a line of its own; and the line of each key.
  local function write(random, wrong)
    local lines, at = { "return {", "  integrations = {", "    shop = {" }, {}
    for _, key in ipairs(KEYS) do
      local bad = wrong[key.name]
      if bad ~= nil or random(3) == 1 then
        lines[#lines + 1] = ("      %s = %s,"):format(key.name, values.lua(bad == nil and values.right(random, key)
          or bad))
        at[key.name] = #lines
      end
    end
    table.move({ "    },", "  },", "}" }, 1, 3, #lines + 1, lines)
    return table.concat(lines, "\n"), at
  end


  -- Some keys with wrong values, at least one.
  local function wrong_values(random)
    local wrong = {}
    for _ = 1, random(4) do
      local key = values.pick(random, KEYS)
      local value = values.wrong(random, key)
      -- In Lua an empty table is a list as well as an object.
      if not (type(value) == "table" and next(value) == nil) then
        wrong[key.name] = value
      end
    end
    if next(wrong) == nil then
      return wrong_values(random)
    end
    return wrong
  end


  local function assert_said(expected, words, where)
    for _, word in ipairs(expected) do
      if words:find(word, 1, true) then
        return
      end
    end
    error(where .. ": " .. words)
  end


  -- How a fault says what a key should have been.
  local EXPECTED <const> = { "expected ", "credentials do not belong", "cannot be used here", "must be on one line" }


  it("Property 34: of any invalid config.lua each fault is told, with its file, line, key and what was expected",
    function()
      local random = values.generator(seed)
      for round = 1, 300 do
        local where = ("seed %d, round %d"):format(seed, round)
        local wrong = wrong_values(random)
        local text, lines = write(random, wrong)
        local config, locate = settings.load("config.lua", text, function() end)
        assert.equal("table", type(config), where)
        local faults = settings.check_config(config, locate)
        assert.is_not_true(faults, where .. "\n" .. text)
        local found = {}
        for _, fault in ipairs(faults) do
          local line, key, words = fault:match("^config%.lua:(%d+): integrations%.shop%.([%w_]+): (.*)$")
          assert.is_truthy(key, where .. ": " .. fault)
          assert.equal(lines[key], tonumber(line), where .. ": " .. fault)
          assert_said(EXPECTED, words, where)
          found[key] = true
        end
        for key in pairs(wrong) do
          assert.is_true(found[key], where .. ": nothing is said of " .. key)
          found[key] = nil
        end
        assert.is_nil(next(found), where)
      end
    end)


  it("Property 34: of any invalid environment each fault is told, with its variable, key and what was expected",
    function()
      local random = values.generator(seed)
      for round = 1, 300 do
        local where = ("seed %d, round %d"):format(seed, round)
        local variables, wrong = {}, wrong_values(random)
        for name, value in pairs(wrong) do
          variables[settings.variable("shop", name)] = values.text(value)
        end
        local effective, faults = settings.effective("shop", { getenv = function(name) return variables[name] end })
        assert.is_nil(effective, where)
        for name in pairs(wrong) do
          local variable, words = settings.variable("shop", name), nil
          for _, fault in ipairs(faults) do
            words = words or fault:match("^" .. variable .. ": shop%." .. name .. ": (.*)$")
          end
          assert.is_truthy(words, ("%s: nothing is said of %s=%s"):format(where, variable, variables[variable]))
          assert_said(EXPECTED, words, where)
        end
      end
    end)


  it("is described by a schema that every valid change fits, and none with a number out of its bounds", function()
    local random = values.generator(seed)
    local described = assert(schema.compile(settings_shape.patch()))
    for round = 1, 200 do
      for _, key in ipairs(KEYS) do
        local value = random(5) == 1 and json.null or values.right(random, key)
        local _, faults = described:validate({ [key.name] = value })
        assert.is_nil(faults, ("seed %d, round %d: %s %s"):format(seed, round, key.name, json.encode(faults or {})))
        if key.max and (key.type == "integer" or key.type == "number") then
          assert.is_truthy(select(2, described:validate({ [key.name] = key.max + random(9) })), key.name)
        end
      end
    end
  end)


  describe("of a service", function()
    local project, service


    setup(function()
      project = support.project { ["providers/shop.lua"] = SHOP,
        ["config.lua"] = "return { defaults = { rate_limit_enabled = false } }" }
      service = project:serve { workers = 2 }
    end)


    teardown(function()
      project:close()
    end)


    local function patch(changes)
      return service:request("PATCH", PATH, { json = changes })
    end


    local function get()
      local status, body = service:request("GET", PATH)
      assert.equal(200, status)
      return body.data
    end


    it("Property 34: any invalid change is refused as a whole, with a pointer to each fault", function()
      local random = values.generator(seed)
      local before = get()
      for round = 1, 100 do
        local where = ("seed %d, round %d"):format(seed, round)
        local changes, wrong = {}, wrong_values(random)
        for _, key in ipairs(KEYS) do
          if random(5) == 1 then
            changes[key.name] = values.right(random, key)
          end
        end
        for name, value in pairs(wrong) do
          changes[name] = value
        end
        local status, problem = patch(changes)
        assert.equal(400, status, where)
        local found = {}
        for _, fault in ipairs(problem.errors) do
          assert_said(EXPECTED, fault.detail, where)
          found[fault.pointer] = true
        end
        for name in pairs(wrong) do
          assert.is_true(found["#/" .. name], where .. ": nothing is said of " .. name)
          found["#/" .. name] = nil
        end
        assert.is_nil(next(found), where)
      end
      assert.same(before, get())
    end)


    -- What is set, after a patch as RFC 7396 has it.
    local function merged(target, change)
      if type(change) ~= "table" or json.is_array(change) then
        return change
      end
      local result = {}
      if type(target) == "table" and not json.is_array(target) then
        for name, value in pairs(target) do
          result[name] = value
        end
      end
      for name, value in pairs(change) do
        if value == json.null then
          result[name] = nil
        else
          result[name] = merged(result[name], value)
        end
      end
      return result
    end


    local function canonical(value)
      return json.encode(value, { canonical = true })
    end


    local function random_change(random, set)
      local change = {}
      for _ = 1, random(4) do
        local key = values.pick(random, KEYS)
        if not IN_THE_WAY[key.name] then
          change[key.name] = set[key.name] ~= nil and random(3) == 1 and json.null or values.right(random, key)
        end
      end
      return change
    end


    it("Property 35: any valid change is in effect on every worker once it is answered, without a restart", function()
      local random = values.generator(seed)
      local set, base = {}, get().values
      local version = get().version
      for round = 1, 60 do
        local where = ("seed %d, round %d"):format(seed, round)
        local change = random_change(random, set)
        local after = merged(set, change)
        if after.extra_config and next(after.extra_config) == nil then
          after.extra_config = nil
        end
        version = version + (canonical(after) ~= canonical(set) and 1 or 0)
        set = after
        local status, body = patch(change)
        assert.equal(200, status, where .. canonical(change) .. canonical(body))
        assert.equal(version, body.data.version, where)
        for _ = 1, 4 do
          local code, answer = service:request("POST", "/api/v1/integrations/shop/look",
            { json = json.decode("{}"), fresh_connection = true })
          assert.equal(200, code, where .. canonical(answer))
          for name, value in pairs(answer.data) do
            local expected = set[name]
            if expected == nil then
              expected = base[name]
            end
            assert.equal(canonical(expected), canonical(value), ("%s: %s"):format(where, name))
          end
          for name in pairs(set) do
            assert.is_truthy(answer.data[name] ~= nil, where .. name)
          end
        end
      end
    end)
  end)
end)
