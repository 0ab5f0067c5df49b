local json = require "tide.json"
local support = require "spec.support.service"

local ECHO = [[
return {
  operations = {
    say = {
      summary = "Says what it is told",
      input = {
        type = "object", additionalProperties = true,
        properties = {
          text = { type = "string" }, count = { type = "integer" }, ratio = { type = "number" },
          flag = { type = "boolean" }, list = { type = "array" },
          bytes = { type = "string", contentEncoding = "base64" },
        },
      },
      run = function(ctx, input)
        if input.bytes then
          return { length = #input.bytes }
        end
        return input
      end,
      mock = function(ctx, input) return { mocked = true } end,
    },
  },
}
]]


describe("the command line", function()
  local project


  before_each(function()
    project = support.project {
      ["config.lua"] = "return { integrations = { nice_dnb = { is_mock_mode = true } } }",
      ["providers/echo.lua"] = ECHO,
    }
  end)


  after_each(function()
    project:close()
  end)


  local function answer_of(arguments, input)
    local code, out, err = project:run(arguments, nil, input)
    assert.equal(0, code, err)
    return json.decode(out)
  end


  local function assert_usage(arguments, pattern)
    local code, out, err = project:run(arguments)
    assert.equal(2, code)
    assert.equal("", out)
    assert.matches(pattern, err)
  end


  local function assert_fails(arguments, pattern, environment)
    local code, out, err = project:run(arguments, environment)
    assert.equal(1, code)
    assert.equal("", out)
    assert.matches(pattern, err)
    return err
  end


  it("lists its commands, and says how one is used", function()
    assert_usage({}, "usage: tidegate COMMAND")
    assert_usage({ "frobnicate" }, "there is no command frobnicate")
    assert_usage({ "cal" }, "did you mean call%?")
    local code, out = project:run { "help" }
    assert.equal(0, code)
    for _, name in ipairs { "api", "call", "check", "docs", "logs", "migrate", "run", "secret", "serve", "status",
      "test", "token", "version" } do
      assert.matches("\n  " .. name .. " ", out)
    end
    code, out = project:run { "serve", "--help" }
    assert.equal(0, code)
    assert.matches("%-c, %-%-config FILE", out)
    code, out = project:run { "--version" }
    assert.equal(0, code)
    assert.matches("^tidegate %d", out)
  end)


  it("refuses options that it does not know", function()
    assert_usage({ "serve", "--frob" }, "there is no option %-%-frob.*usage: tidegate serve")
    assert_usage({ "serve", "--workers", "many" }, "takes a whole number")
    assert_usage({ "serve", "--workers=0" }, "takes 1 to")
    assert_usage({ "serve", "--strict=1" }, "takes no value")
    assert_usage({ "serve", "-c" }, "needs a value")
    assert_usage({ "serve", "-c", "a", "-c", "b" }, "given twice")
    for _, name in ipairs { "serve", "repl", "attach", "status", "reload", "check", "migrate", "version" } do
      assert_usage({ name, "now" }, name .. " takes no argument now\n")
    end
    assert_usage({ "call", "echo" }, "usage: tidegate call")
    assert_usage({ "token" }, "create, list or revoke")
    assert_usage({ "token", "create", "--name", "a" }, "%-%-name and %-%-role are needed")
    assert_usage({ "api", "GET" }, "a method and a path")
    assert_usage({ "logs", "integration=a", "b" }, "b is not key=value")
  end)


  it("says so and exits 1 when a result cannot be written", function()
    for _, arguments in ipairs { { "check" }, { "call", "echo", "say", "text=a" } } do
      local pipe = assert(io.popen(("( %s ) 2>&1 >/dev/full"):format(project:command(arguments))))
      local said = pipe:read("a")
      local _, _, code = pipe:close()
      assert.equal(1, code)
      assert.matches("^tidegate: the result could not be written to standard output", said)
      assert.not_matches("traceback", said)
    end
  end)


  it("does without standard streams", function()
    local _, _, code = os.execute(("( %s ) <&- >&- 2>&-"):format(project:command { "check" }))
    assert.equal(0, code)
  end)


  describe("call without a service", function()
    it("prints company data for a number that is right", function()
      local answer = answer_of { "call", "nice_dnb", "search_company", "business_number=1248100998" }
      assert.equal("1248100998", answer.data.business_number)
      assert.equal("KRW", answer.data.currency)
      assert.is_true(answer.meta.mock)
    end)


    it("exits 1 and says that the check digit is wrong for one that is not", function()
      local err = assert_fails({ "call", "nice_dnb", "search_company", "business_number=1248100997" },
        "check digit")
      assert.equal(1, select(2, err:gsub("#/business_number", "")))
    end)


    it("records the row", function()
      project:run { "call", "echo", "say", "text=hello" }
      project:run { "call", "nice_dnb", "search_company", "business_number=1248100997" }
      local rows = project:query("SELECT integration_name, is_success, error_type, caller FROM integration_call_logs "
        .. "ORDER BY id")
      assert.equal(2, #rows)
      assert.same({ "echo", 1, nil, "command line" }, { rows[1].integration_name, rows[1].is_success,
        rows[1].error_type, rows[1].caller })
      assert.same({ "nice_dnb", 0, "invalid_input" }, { rows[2].integration_name, rows[2].is_success,
        rows[2].error_type })
    end)


    it("reads key=value by the schema, and key:=JSON as it is", function()
      assert.same({ text = "12", count = 12, ratio = 0.5, flag = true, other = "1", exact = 7, nothing = json.null },
        answer_of({ "call", "echo", "say", "text=12", "count=12", "ratio=0.5", "flag=true", "other=1", "exact:=7",
          "nothing:=null" }).data)
    end)


    it("takes a value from a file, and the input from a file or from standard input", function()
      project:write("note.txt", "from a file\n")
      project:write("input.json", '{"text":"whole","count":1}')
      assert.equal("from a file\n", answer_of({ "call", "echo", "say", "text=@note.txt" }).data.text)
      project:write("blob.bin", "\0\xff\r\n")
      assert.equal(4, answer_of({ "call", "echo", "say", "bytes=@blob.bin" }).data.length)
      assert_usage({ "call", "echo", "say", "text=@blob.bin" }, "text: blob.bin is not UTF%-8 text")
      project:write("count.txt", "12\n")
      assert.equal(12, answer_of({ "call", "echo", "say", "count=@count.txt" }).data.count)
      assert.same({ text = "whole", count = 2 },
        answer_of({ "call", "echo", "say", "--input", "@input.json", "count=2" }).data)
      assert.same({ text = "a" }, answer_of({ "call", "echo", "say", "--input", '{"text":"a"}' }).data)
      assert.same({ text = "b" }, answer_of({ "call", "echo", "say", "--input", "-" }, '{"text":"b"}').data)
    end)


    it("refuses input that cannot be read", function()
      assert_usage({ "call", "echo", "say", "text" }, "text is neither key=value, key:=JSON nor key=@FILE")
      assert_usage({ "call", "echo", "say", "a:={" }, "a: invalid JSON")
      assert_usage({ "call", "echo", "say", "--input", "[]" }, "must be a JSON object")
      assert_usage({ "call", "echo", "say", "text=@none" }, "cannot open none")
      assert_fails({ "call", "echo", "say", "count=many" }, "#/count")
    end)


    it("answers from the mock with --mock", function()
      assert.same({ mocked = true }, answer_of({ "call", "echo", "say", "--mock" }).data)
    end)


    it("to what does not exist exits 1", function()
      assert_fails({ "call", "ecco", "say" }, "no_such_operation")
      assert_fails({ "call", "echo", "sing" }, 'echo has no operation "sing"')
    end)
  end)


  describe("with a running service", function()
    it("calls through it, and shows its logs, its state and its tokens", function()
      project:serve()
      assert.equal("1", answer_of({ "call", "echo", "say", "text=1" }).data.text)
      assert_fails({ "call", "nice_dnb", "search_company", "business_number=1248100997" },
        "check digit.*#/business_number")
      local rows = support.wait("the rows", function()
        local page = answer_of { "logs" }
        return #page.data == 2 and page.data
      end)
      assert.equal("local", rows[1].caller)
      assert.equal("nice_dnb", rows[1].integration_name)
      assert.equal(1, #answer_of({ "logs", "integration=echo", "success=true" }).data)
      assert.equal(rows[1].id, answer_of({ "logs", rows[1].id }).data.id)
      assert_fails({ "logs", "frob=1" }, "there is no parameter frob")
      assert.equal("serving", answer_of({ "status" }).data.state)
      local token = answer_of({ "token", "create", "--name", "a b", "--role", "caller", "--integrations", "echo,mail",
        "--expires-days", "7" }).data
      assert.same({ "echo", "mail" }, { table.unpack(token.integrations) })
      assert.equal(2, #answer_of({ "token", "list" }).data)
      assert.equal(token.id, answer_of({ "token", "revoke", token.id }).revoked)
      assert_fails({ "token", "revoke", token.id }, "not_found")
      assert_fails({ "token", "create", "--name", "a", "--role", "king" }, "role must be")
      assert.equal("admin", answer_of({ "api", "get", "/api/v1/tokens", "limit=1" }).data[1].name)
      assert.equal(1, #answer_of({ "api", "POST", "/api/v1/integrations/echo/say", "list:=[1]" }).data.list)
      assert_fails({ "api", "GET", "/nothing" }, "no_such_operation")
      assert_fails({ "migrate" }, "tidegate%.lock is held by another tidegate, pid %d+")
    end)
  end)


  it("says so when no service runs", function()
    for _, arguments in ipairs { { "status" }, { "logs" }, { "api", "GET", "/health" } } do
      assert_fails(arguments, "no service runs in var")
    end
  end)


  it("makes, lists and revokes tokens without a service", function()
    local token = answer_of({ "token", "create", "--name", "ci", "--role", "caller" }).data
    assert.matches("^tidegate_", token.token)
    local listed = answer_of({ "token", "list" }).data
    assert.same({ token.id, "ci", "caller" }, { listed[1].id, listed[1].name, listed[1].role })
    assert.equal(token.id, answer_of({ "token", "revoke", token.id }).revoked)
    assert.equal(0, #answer_of({ "token", "list" }).data)
    assert_fails({ "token", "revoke", token.id }, "not_found")
  end)


  it("brings the tables up to date, once", function()
    assert.is_true(answer_of({ "migrate" }).applied > 0)
    assert.equal(0, answer_of({ "migrate" }).applied)
  end)


  it("describes the configuration and each integration", function()
    local code, out = project:run { "docs" }
    assert.equal(0, code)
    assert.matches("tidegate docs nice_dnb +Company information", out)
    code, out = project:run { "docs", "configuration" }
    assert.equal(0, code)
    assert.matches("`drain_seconds`", out)
    code, out = project:run { "docs", "nice_dnb" }
    assert.equal(0, code)
    assert.matches("## search_company\n", out)
    assert.matches("| `business_number` | string | yes |", out, 1, true)
    assert_fails({ "docs", "nothing" }, "no integration nothing")
  end)


  describe("check", function()
    it("names what is there when all is well", function()
      local answer = answer_of { "check" }
      assert.is_true(answer.ok)
      assert.equal("echo", answer.integrations[1].name)
      assert.is_true(answer.integrations[2].is_mock_mode)
    end)


    it("gives each fault of the configuration with file and line", function()
      project:write("config.lua", "return {\n  workers = 0,\n  lisen = 1,\n}")
      local err = assert_fails({ "check" }, "config%.lua:2: workers: ")
      assert.matches("config%.lua:3: lisen: unknown key %(did you mean listen%?%)", err)
      project:write("config.lua", "return {\n  store = 'postgres://x',\n redis = 'redis://x' }")
      err = assert_fails({ "check" }, "config%.lua:2: store: this version")
      assert.matches("config%.lua:3: redis: this version", err)
      for _, listen in ipairs { "somewhere", "127.0.0.1", "127.0.0.1:70000", "unix:", "host.example:80" } do
        project:write("config.lua", ("return {\n  listen = { '127.0.0.1:0', '%s' },\n}"):format(listen))
        err = assert_fails({ "check" }, "config%.lua:2: listen: ")
        assert.is_truthy(err:find(listen, 1, true), err)
      end
      project:write("config.lua", "return {\n  store = 'sqlite:' }")
      assert_fails({ "check" }, "config%.lua:2: store: ")
      project:write("config.lua", "return {\n  oops")
      assert_fails({ "check" }, "config%.lua:2: ")
      os.remove(project.folder .. "/config.lua")
      for _, command in ipairs { "check", "status", "attach", "repl", "serve" } do
        assert_fails({ command }, "config%.lua: could not be read: .*make a new one with `tidegate init DIR`\n$")
      end
    end)


    it("lists nothing where there is no provider, and says so of a file with nothing in it", function()
      project:write("nowhere/config.lua", "return {}")
      local code, out = project:run { "check", "-c", "nowhere/config.lua" }
      assert.equal(0, code)
      assert.equal('"integrations":[]', out:match('"integrations":%S%S'))
      project:write("providers/empty.lua", "")
      assert_fails({ "check" }, "providers/empty%.lua: must return a table, got nothing\n")
    end)


    it("gives each fault of every provider with file and line", function()
      project:write("providers/bad.lua", "return {\n  operations = {\n    a = { rum = 1 },\n  },\n}")
      project:write("providers/worse.lua", "return {\n  +\n}")
      local err = assert_fails({ "check" }, "providers/bad%.lua:3: ")
      assert.matches("providers/worse%.lua:2: ", err)
    end)


    it("waits for no pipe, and says when a file is nested too deeply", function()
      local deep = "return " .. ("{"):rep(300) .. ("}"):rep(300)
      project:write("providers/deep.lua", deep)
      assert_fails({ "check" }, "providers/deep%.lua: it is nested too deeply")
      os.remove(project.folder .. "/providers/deep.lua")
      assert(os.execute(("mkfifo '%s/providers/pipe.lua'"):format(project.folder)))
      assert_fails({ "check" }, "providers/pipe%.lua: could not be read: it is neither a file nor a folder")
      project:write("config.lua", deep)
      assert_fails({ "check" }, "config%.lua: it is nested too deeply")
    end)


    it("finds a project by -c, relative paths by its folder", function()
      local other = support.project()
      finally(function() other:close() end)
      local code, out = other:run { "check", "-c", project.folder .. "/config.lua" }
      assert.equal(0, code)
      assert.equal("echo", json.decode(out).integrations[1].name)
      assert.is_false(other:exists("var"))
    end)
  end)
end)
