local json = require "tide.json"
local support = require "spec.support.service"


describe("a new project", function()
  local project


  before_each(function()
    project = support.project()
  end)


  after_each(function()
    project:close()
  end)


  -- Runs a command in the folder `shop` of the project.
  local function in_shop(arguments, environment)
    local shop = setmetatable({ folder = project.folder .. "/shop" }, { __index = project })
    return shop:run(arguments, environment)
  end


  local function init()
    local code, out, err = project:run { "init", "shop" }
    assert.equal(0, code, err)
    return json.decode(out)
  end


  local function new(...)
    local code, out, err = in_shop { "new", "provider", ... }
    assert.equal(0, code, err)
    return json.decode(out)
  end


  local function assert_fails(code_wanted, pattern, code, out, err)
    assert.equal(code_wanted, code)
    assert.equal("", out)
    assert.matches(pattern, err)
  end


  local function assert_works(arguments)
    local code, out, err = in_shop(arguments)
    assert.equal(0, code, out .. err)
    assert.not_matches("warning", err)
    return out
  end


  it("has all that one needs, and says what to type next", function()
    local made = init()
    table.sort(made.created)
    assert.same({ "shop/.gitignore", "shop/README.md", "shop/config.lua", "shop/providers/weather.lua",
      "shop/spec/weather_spec.lua" }, made.created)
    assert.same({ "cd shop && tidegate check", "tidegate test", "tidegate call weather current city=Seoul" },
      made.next)
    assert.equal("var/\n", project:read("shop/.gitignore"))
    assert.equal(5, select(2, project:read("shop/README.md"):gsub("\n", "")))
  end)


  it("passes its check and its specs, and answers in mock mode", function()
    init()
    assert.is_true(json.decode(assert_works { "check", "--strict" }).ok)
    assert.matches("5 successes / 0 failures / 0 errors", assert_works { "test" })
    local answer = json.decode(assert_works { "call", "weather", "current", "city=Seoul" })
    assert.equal("Seoul", answer.data.city)
    assert.is_true(answer.meta.mock)
  end)


  it("leaves mock mode when the key is there", function()
    init()
    local code, out = in_shop({ "check" }, { TIDEGATE_WEATHER_API_KEY = "0123456789" })
    assert.equal(0, code)
    assert.is_false(json.decode(out).integrations[1].is_mock_mode)
  end)


  it("goes into a folder that is there and empty", function()
    os.execute(("mkdir '%s/empty place'"):format(project.folder))
    local code, out = project:run { "init", "empty place/" }
    assert.equal(0, code)
    assert.equal("cd 'empty place' && tidegate check", json.decode(out).next[1])
  end)


  it("refuses a folder that is not empty, and names what is there", function()
    project:write("shop/providers/mine.lua", "return 1")
    project:write("shop/.hidden", "")
    assert_fails(1, "shop is not empty %(%.hidden, providers%)", project:run { "init", "shop" })
    assert.is_false(project:exists("shop/config.lua"))
    for i = 1, 7 do
      project:write(("shop/%d"):format(i), "")
    end
    assert_fails(1, "%(%.hidden, 1, 2, 3, 4 and 4 more%)", project:run { "init", "shop" })
    assert_fails(1, "config%.lua", project:run { "init", "config.lua" })
    assert_fails(1, "is not empty", project:run { "init", "." })
  end)


  it("refuses a link to nowhere", function()
    os.execute(("ln -s nowhere '%s/link'"):format(project.folder))
    assert_fails(1, "link", project:run { "init", "link" })
    assert.is_false(project:exists("nowhere"))
  end)


  it("wants one folder", function()
    assert_fails(2, "usage: tidegate init DIR", project:run { "init" })
    assert_fails(2, "usage: tidegate init DIR", project:run { "init", "" })
    assert_fails(2, "b is one too many", project:run { "init", "a", "b" })
  end)


  describe("and a new provider", function()
    before_each(init)


    it("pass the check and their specs, and answer in mock mode", function()
      local made = new("acme_2")
      assert.same({ "providers/acme_2.lua", "spec/acme_2_spec.lua" }, made.created)
      assert.equal("tidegate call acme_2 find id=a-1 --mock", made.next[3])
      assert_works { "check", "--strict" }
      assert.matches("11 successes / 0 failures / 0 errors", assert_works { "test" })
      local answer = json.decode(assert_works { "call", "acme_2", "find", "id=A-1", "--mock" })
      assert.equal("a-1", answer.data.id)
      assert.matches("TIDEGATE_ACME_2_API_KEY", project:read("shop/providers/acme_2.lua"))
      assert.not_matches("NEW_", project:read("shop/providers/acme_2.lua") .. project:read("shop/spec/acme_2_spec.lua"))
    end)


    it("never take the place of a file", function()
      assert_fails(1, "providers/weather%.lua is there already", in_shop { "new", "provider", "weather" })
      project:write("shop/spec/acme_spec.lua", "-- mine")
      assert_fails(1, "spec/acme_spec%.lua is there already", in_shop { "new", "provider", "acme" })
      assert.is_false(project:exists("shop/providers/acme.lua"))
      assert.equal("-- mine", project:read("shop/spec/acme_spec.lua"))
      os.execute(("ln -s nowhere '%s/shop/providers/other.lua'"):format(project.folder))
      assert_fails(1, "providers/other%.lua is there already", in_shop { "new", "provider", "other" })
    end)


    it("say when they take the place of a bundled one", function()
      local code, _, err = in_shop { "new", "provider", "email" }
      assert.equal(0, code)
      assert.matches("takes the place of the bundled provider email", err)
    end)


    it("are put where the configuration says", function()
      project:write("shop/config.lua", 'return { providers = { "mine", "providers" } }')
      project:write("shop/mine/a.lua", "return { operations = {} }")
      local code, out = project:run { "new", "provider", "acme", "-c", "shop/config.lua" }
      assert.equal(0, code)
      assert.same({ "shop/mine/acme.lua", "shop/spec/acme_spec.lua" }, json.decode(out).created)
      assert_fails(1, "providers/weather%.lua is there already",
        project:run { "new", "provider", "weather", "-c", "shop/config.lua" })
    end)


    it("have a name that an integration can have", function()
      for _, name in ipairs { "Acme", "1a", "a-b", "../a", "a/b", "a.lua", "", ("a"):rep(51), "\27[31m", "é" } do
        assert_fails(2, "cannot name an integration", in_shop { "new", "provider", name })
      end
      assert_fails(2, "usage: tidegate new provider NAME", in_shop { "new", "provider" })
      assert_fails(2, "usage: tidegate new provider NAME", in_shop { "new", "thing", "acme" })
      assert_fails(2, "usage: tidegate new provider NAME", in_shop { "new", "provider", "a", "b" })
    end)


    it("want a project", function()
      os.remove(project.folder .. "/config.lua")
      assert_fails(1, "there is no config%.lua: `tidegate init DIR`", project:run { "new", "provider", "acme" })
    end)
  end)
end)
