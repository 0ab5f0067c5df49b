-- The two prompts as a person sees them: `tidegate attach` into a service, and `tidegate repl`.

local service = require "spec.support.service"
local tmux = require "spec.support.tmux"

local ACME = [[
return {
  name = "acme", config = { base_url = "http://127.0.0.1:9" },
  operations = { greet = { run = function(_, input) return { greeting = "안녕 " .. input.name } end } },
}
]]

local PROMPT = "^tide>$"


local function type_at_both(open)
  local screen

  before_each(function() screen = open() end)

  it("shows the value of an expression", function()
    screen:enter("1 + 1")
    screen:wait_for("tide> 1 %+ 1\n2\ntide>$")
    screen:enter("_ * 21")
    screen:wait_for("\n42\ntide>$")
  end)

  it("takes an input of several lines", function()
    screen:enter("for i = 1, 3 do")
    screen:wait_for_line("^  %.%.%.$")
    screen:enter("print('line', i)")
    screen:enter("end")
    screen:wait_for("\nline%s+1\nline%s+2\nline%s+3\ntide>$")
  end)

  it("shows Hangul that is typed, called for and answered", function()
    screen:enter([[call("acme", "greet", { name = "조수현" }).greeting]])
    screen:wait_for('\n"안녕 조수현"\ntide>$')
  end)

  it("shows an error and goes on", function()
    screen:enter("error('this went wrong')")
    screen:wait_for("this went wrong")
    screen:wait_for_line(PROMPT)
    screen:enter("x = = 1")
    screen:wait_for("unexpected symbol")
    screen:wait_for_line(PROMPT)
    screen:enter("'alive'")
    screen:wait_for('\n"alive"\ntide>$')
  end)

  it("completes names", function()
    screen:type("integ")
    screen:press("Tab")
    screen:wait_for_line("^tide> integrations")
    screen:press("C-u")
    screen:type(".integ")
    screen:press("Tab")
    screen:wait_for_line("^tide> %.integrations")
  end)

  it("writes what a line prints as it comes", function()
    screen:enter("print('first') sleep(30) print('second')")
    screen:wait_for("\nfirst$")
    assert.is_nil(screen:all():find("\nsecond", 1, true))
  end)

  it("cancels what runs at Ctrl-C, and keeps the variables", function()
    screen:enter("kept = 'still here' print('it runs') while true do sleep(0.01) end")
    screen:wait_for("\nit runs")
    screen:press("C-c")
    screen:wait_for("cancelled\ntide>$")
    screen:enter("kept")
    screen:wait_for('\n"still here"\ntide>$')
  end)

  it("takes a paste of 20 lines", function()
    local lines = {}
    for index = 1, 20 do
      lines[index] = ("n%d = %d"):format(index, index)
    end
    screen:paste(table.concat(lines, "\n") .. "\n")
    screen:wait_for("tide> n20 = 20\ntide>$")
    screen:enter("n1 + n20")
    screen:wait_for("\n21\ntide>$")
  end)

  it("lays values out for the width there is", function()
    screen:enter("{ first = ('x'):rep(20), second = ('y'):rep(20) }")
    screen:wait_for('\n{ first = "x+", second = "y+" }\ntide>$')
    screen:resize(40, 24)
    screen:press("C-l", "Up", "Enter")
    screen:wait_for('\n{\n  first = "x+",\n  second = "y+",?\n}\ntide>$')
  end)

  it("ends with 0 at Ctrl-D and at .quit", function()
    screen:press("C-d")
    screen:wait_for_line("shell%$$")
    screen:enter("echo code $?")
    screen:wait_for("\ncode 0\n")
  end)

  it("ends with 0 at .quit", function()
    screen:enter(".quit")
    screen:wait_for_line("shell%$$")
    screen:enter("echo code $?")
    screen:wait_for("\ncode 0\n")
  end)
end


local project, screen

local function open_project()
  project = service.project { ["providers/acme.lua"] = ACME }
  screen = tmux.open()
end

local function close_project()
  screen:close()
  project:close()
end

-- Types the command and waits for its prompt.
local function start(...)
  screen:enter("(" .. project:command { ... } .. ")")
  screen:wait_for_line(PROMPT)
  return screen
end


describe("tidegate attach", function()
  local running

  before_each(function()
    open_project()
    running = project:serve()
  end)

  after_each(close_project)

  describe("at its prompt", function()
    type_at_both(function() return start("attach") end)
  end)

  it("keeps history over a restart of the service and of the prompt", function()
    start("attach"):enter("'한글 one'")
    screen:wait_for('\n"한글 one"\ntide>$')
    screen:press("C-d")
    screen:wait_for_line("^shell%$$")
    running:stop()
    running = project:serve()
    start("attach"):press("Up")
    screen:wait_for_line("^tide> '한글 one'$")
  end)

  it("says that the service was killed, and ends in 1", function()
    start("attach")
    running:stop("KILL")
    screen:enter("1 + 1")
    screen:wait_for("\nthe service has stopped\n.*shell%$$")
    screen:enter("echo code $?")
    screen:wait_for("\ncode 1\n")
  end)

  it("says that the service stops while a line runs", function()
    start("attach"):enter("print('running') sleep(60)")
    screen:wait_for("\nrunning$")
    running:signal("TERM")
    screen:wait_for("\nthe service has stopped\n.*shell%$$")
    assert.equal(0, running:wait())
  end)

  it("opens another console in a service that was started anew, and says that variables are gone", function()
    start("attach"):enter("x = 5")
    screen:wait_for("x = 5\ntide>$")
    running:stop("KILL")
    running = project:serve()
    screen:enter("x")
    screen:wait_for("started anew.-without variables.-\ntide>$")
    screen:enter("x == nil")
    screen:wait_for("\ntrue\ntide>$")
  end)

  it("does not hold up a service that stops while it waits at the prompt", function()
    start("attach")
    assert.equal(0, running:stop())
  end)

  it("takes rights away with --role", function()
    start("attach", "--role", "viewer"):enter([[call("acme", "greet", { name = "x" })]])
    screen:wait_for("viewer may not")
  end)

  it("says what is wrong with --role, and where no service runs", function()
    local code, _, err = project:run { "attach", "--role", "king" }
    assert.equal(1, code)
    assert.truthy(err:find("role must be", 1, true))
    running:stop()
    code, _, err = project:run { "attach" }
    assert.equal(1, code)
    assert.truthy(err:find("no service runs in", 1, true))
  end)

  it("runs a script that is piped in", function()
    local code, out = project:run({ "attach" }, nil, "for i = 1, 2 do\n print(i)\nend\n'done'\n")
    assert.equal('1\n2\n"done"\n', out)
    assert.equal(0, code)
    code, out = project:run({ "attach" }, nil, "error('no')\n'after'\n")
    assert.truthy(out:find('"after"\n$'))
    assert.equal(1, code)
  end)
end)


describe("tidegate repl", function()
  before_each(open_project)
  after_each(close_project)

  describe("at its prompt", function()
    type_at_both(function() return start("repl") end)
  end)

  it("takes a provider that is saved while it runs", function()
    start("repl")
    project:write("providers/acme.lua", (ACME:gsub("안녕", "Hello")))
    screen:wait("the new version", function()
      screen:enter([[call("acme", "greet", { name = "you" }).greeting]])
      screen:wait_for_line(PROMPT)
      return screen:all():find('"Hello you"', 1, true)
    end)
  end)

  it("listens nowhere, and keeps its log from the prompt", function()
    start("repl"):enter("1")
    screen:wait_for("\n1\ntide>$")
    assert.equal("\n", project:read("var/address"))
    assert.truthy(project:read("var/repl.log"):find("the Unix socket alone", 1, true))
    assert.truthy(screen:all():find("the log is in var/repl.log", 1, true))
    assert.is_nil(screen:all():find('"level"', 1, true))
  end)

  it("shows at the start what did not load", function()
    project:write("providers/broken.lua", "return {")
    start("repl")
    assert.truthy(screen:all():find("providers/broken.lua:1", 1, true))
  end)

  it("has the project to itself, and gives it back", function()
    start("repl")
    local code, _, err = project:run { "serve", "--listen", "127.0.0.1:0" }
    assert.equal(1, code)
    assert.truthy(err:find("held by another tidegate", 1, true))
    screen:press("C-d")
    screen:wait_for_line("^shell%$$")
    assert.is_false(project:exists("var/address"))
    project:serve()
    code, _, err = project:run { "repl" }
    assert.equal(1, code)
    assert.truthy(err:match("a service runs in %S*var %(pid %d+%): use tidegate attach"))
  end)

  it("is what commands and attach find", function()
    start("repl"):enter("shared = 7")
    screen:wait_for_line(PROMPT)
    local code, out = project:run({ "attach" }, nil, "1 + 1\n")
    assert.equal("2\n", out)
    assert.equal(0, code)
    assert.equal(0, (project:run { "status" }))
  end)

  it("notes each line in the audit log", function()
    start("repl"):enter("'noted ' .. 1")
    screen:wait_for('"noted 1"\ntide>$')
    local _, out = project:run { "api", "GET", "/api/v1/audit", "action=console.line", "--json" }
    assert.truthy(out:find("'noted ' .. 1", 1, true))
  end)

  it("ends in order when it is told to", function()
    local before = screen:modes()
    start("repl"):enter("sleep(60)")
    os.execute("kill -TERM " .. screen:find_process("repl"))
    screen:wait_for_line("^shell%$$")
    assert.equal(before, screen:modes())
    assert.truthy(project:read("var/repl.log"):find('"stopped"', 1, true))
  end)
end)
