-- The loop at the prompt alone, at a real terminal and in a pipe, with a session that is not one.

local service = require "spec.support.service"
local tmux = require "spec.support.tmux"

-- Lines: `do …` needs an `end`, `bad` does not start, `fail` fails, `run` runs until it is cancelled, `slow` for a
-- moment, `hang` is not answered for a minute, `part` prints no end of line, `lost` is not answered, `.quit` ends;
-- all others are printed.
local SESSION = [[
local prompt = require "tide.console.prompt"
local task = require "tide.task"
local time = require "tide.time"

local WORDS = { "alpha", "alphabet", "beta", "한국", "한글" }
local Session = {}
Session.__index = Session

function Session:start(text)
  if text:find("^do") and not text:find("end$") then return "incomplete" end
  if text == "bad" then return nil, "1: unexpected symbol" end
  if text == "hang" then task.sleep(60) end
  self.failed = text == "fail"
  self.is_running = text == "run" or text == "slow"
  self.ends_at = text == "slow" and time.monotonic() + 0.5 or nil
  self.is_lost = text == "lost"
  self.ended = text == ".quit"
  self.text = text == "part" and "part" or text == "columns" and self.width .. "\n" or "= " .. text .. "\n"
  return "running"
end

function Session:read()
  if self.is_lost then self.is_lost = false return nil, "no answer" end
  if self.text == "" then task.sleep(0.05) end
  if self.ends_at and time.monotonic() > self.ends_at then self.is_running = false end
  local text = self.text
  self.text = ""
  return text, self.is_running and "running" or "done"
end

function Session:cancel()
  if self.ignores then return end
  self.is_running, self.text = false, "cancelled\n"
end

function Session:complete(text, at)
  local word, words = text:sub(1, at):match("[%w\128-\255]*$"), {}
  for _, known in ipairs(WORDS) do
    if known:sub(1, #word) == word then words[#words + 1] = known end
  end
  return { from = at - #word, words = words }
end

function Session:resize(width) self.width = width end
function Session:close() end

local mode = ...
local session = setmetatable({ banner = "hello", ignores = mode == "ignores" }, Session)
return prompt.run(session, {
  recover = mode == "another" and function()
    return setmetatable({}, Session), "here is another"
  end or mode == "gone" and function()
    return nil, "it is gone"
  end or nil,
})
]]

local PROMPT = "^tide>$"


describe("a prompt in a pipe", function()
  local project

  before_each(function() project = service.project { ["session.lua"] = SESSION } end)
  after_each(function() project:close() end)

  local function run(input, mode)
    return project:run({ "run", "session.lua", mode }, { HOME = project.folder }, input)
  end

  it("runs each line and shows no prompt and no banner", function()
    local code, out, err = run("a\n\n   \nb 한글\nlast")
    assert.equal("= a\n= b 한글\n= last\n", out)
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("ends in 1 when a line failed, and runs the others", function()
    local code, out = run("fail\nafter\n")
    assert.equal("= fail\n= after\n", out)
    assert.equal(1, code)
  end)

  it("says on stderr why a line did not start", function()
    local code, out, err = run("bad\nafter\n")
    assert.equal("= after\n", out)
    assert.equal("tidegate: 1: unexpected symbol\n", err)
    assert.equal(1, code)
  end)

  it("joins the lines of an input", function()
    local _, out = run("do\n  x\nend\nafter\n")
    assert.equal("= do\n  x\nend\n= after\n", out)
  end)

  it("refuses an input that is not finished", function()
    local code, out, err = run("a\ndo\n")
    assert.equal("= a\n", out)
    assert.truthy(err:find("ends inside", 1, true))
    assert.equal(1, code)
  end)

  it("refuses a line of more than 64 KiB, and takes one that long", function()
    local input = ("x"):rep(65536) .. "\n" .. ("y"):rep(65537) .. "\nafter\n"
    local code, out, err = project:run_beside({ "run", "session.lua" }, { HOME = project.folder }, input)
    assert.is_true(out == "= " .. ("x"):rep(65536) .. "\n= after\n")
    assert.truthy(err:find("64 KiB", 1, true))
    assert.equal(1, code)
  end)

  it("ends at .quit", function()
    local code, out = run(".quit\nafter\n")
    assert.equal("= .quit\n", out)
    assert.equal(0, code)
  end)

  it("ends in 1 when the session is lost", function()
    local code, out, err = run("lost\nafter\n", "gone")
    assert.equal("", out)
    assert.equal("tidegate: it is gone\n", err)
    assert.equal(1, code)
  end)

  it("goes on in another session, and says so", function()
    local code, out, err = run("lost\nafter\n", "another")
    assert.equal("= after\n", out)
    assert.equal("tidegate: here is another\n", err)
    assert.equal(1, code)
  end)

  it("ends in 1 at a signal while a line runs", function()
    for _, signal in ipairs { "INT", "TERM", "HUP" } do
      local process = project:start({ "run", "session.lua" }, { HOME = project.folder }, "run\nafter\n")
      service.wait("the line to run", function() return process:stdout() == "= run\n" end)
      assert.equal(1, process:stop(signal))
      assert.is_nil(process:stdout():find("after", 1, true))
    end
  end)
end)


describe("a prompt at a terminal", function()
  local project, screen

  before_each(function()
    project = service.project { ["session.lua"] = SESSION }
    screen = tmux.open()
  end)

  after_each(function()
    screen:close()
    project:close()
  end)

  local function start(mode, environment)
    screen:enter("(" .. project:command({ "run", "session.lua", mode or "plain" }, environment) .. ")")
    screen:wait_for_line(PROMPT)
    return screen
  end

  it("shows the banner, then runs what is typed", function()
    start():enter("1 + 1")
    screen:wait_for("tide> 1 %+ 1\n= 1 %+ 1\ntide>$")
  end)

  it("asks for the rest of an input that is not finished", function()
    start():enter("do")
    screen:wait_for_line("^  %.%.%.$")
    screen:enter("x")
    screen:enter("end")
    screen:wait_for("\n= do\nx\nend\ntide>$")
  end)

  it("drops an unfinished input at Ctrl-C and at Ctrl-D", function()
    for _, key in ipairs { "C-c", "C-d" } do
      if key == "C-c" then start() end
      screen:enter("do")
      screen:wait_for_line("^  %.%.%.$")
      screen:press(key)
      screen:wait_for_line(PROMPT)
      screen:enter("after " .. key)
      screen:wait_for("\n= after " .. key:gsub("%-", "%%-") .. "\ntide>$")
    end
  end)

  it("edits Hangul, which is two columns wide", function()
    start():type("한글 가나다")
    screen:press("Left", "Left", "BSpace")
    screen:type("하")
    screen:press("Home", "DC", "End")
    screen:type("!")
    screen:wait_for_line("^tide> 글 하나다!$")
    screen:press("Enter")
    screen:wait_for("\n= 글 하나다!\ntide>$")
  end)

  it("knows the keys of emacs", function()
    start():type("one two three")
    screen:press("C-w", "C-a", "M-f", "C-k")
    screen:wait_for_line("^tide> one$")
    screen:press("C-y", "C-u")
    screen:wait_for_line(PROMPT)
  end)

  it("goes through history, and searches it", function()
    start():enter("first")
    screen:wait_for("= first\ntide>$")
    screen:enter("second")
    screen:wait_for("= second\ntide>$")
    screen:press("Up", "Up")
    screen:wait_for_line("^tide> first$")
    screen:press("Down")
    screen:wait_for_line("^tide> second$")
    screen:press("C-c", "C-r")
    screen:type("fir")
    screen:wait_for_line("^%(search%) fir: first$")
    screen:press("Enter")
    screen:wait_for("= second\n.*= first\ntide>$")
  end)

  it("searches for Hangul, further back, and with less", function()
    start()
    for _, line in ipairs { "가나 1", "가나 2", "한글" } do
      screen:enter(line)
      screen:wait_for("= " .. line .. "\ntide>$")
    end
    screen:type("typed")
    screen:press("C-r")
    screen:type("가나")
    screen:wait_for_line("^%(search%) 가나: 가나 2$")
    screen:press("C-r")
    screen:wait_for_line("^%(search%) 가나: 가나 1$")
    screen:press("C-r")
    screen:wait_for_line("^%(failed search%) 가나: 가나 1$")
    screen:press("BSpace")
    screen:wait_for_line("^%(search%) 가: 가나 2$")
    screen:press("Left", "Left")
    screen:type("x")
    screen:wait_for_line("^tide> 가나x 2$")
    screen:press("C-u", "C-k", "C-r")
    screen:type("한")
    screen:wait_for_line("^%(search%) 한: 한글$")
    screen:press("C-g")
    screen:wait_for_line(PROMPT)
  end)

  it("keeps history over a restart, but not what begins with a space", function()
    start():enter("한글 kept")
    screen:wait_for("= 한글 kept\ntide>$")
    screen:enter(" secret")
    screen:wait_for("=  secret\ntide>$")
    screen:press("C-d")
    screen:wait_for_line("^shell%$$")
    start():press("Up")
    screen:wait_for_line("^tide> 한글 kept$")
  end)

  it("completes at TAB, and lists at the second", function()
    start():type("be")
    screen:press("Tab")
    screen:wait_for_line("^tide> beta$")
    screen:press("C-u")
    screen:type("x al")
    screen:press("Tab")
    screen:wait_for_line("^tide> x alpha$")
    screen:press("Tab", "Tab")
    screen:wait_for("\nalpha     alphabet\ntide> x alpha$")
    screen:press("C-u")
    screen:type("한국")
    screen:press("BSpace", "Tab", "Tab")
    screen:wait_for("\n한국  한글\ntide> 한$")
  end)

  it("completes the last line of an input that is not finished", function()
    start():enter("do 한글")
    screen:wait_for_line("^  %.%.%.$")
    screen:type("be")
    screen:press("Tab")
    screen:wait_for_line("^  %.%.%. beta$")
  end)

  it("drops a line at Ctrl-C, wherever the cursor is", function()
    start():type("not this")
    screen:press("Home", "C-c")
    screen:wait_for("tide> not this^C\ntide>$")
    screen:enter("this")
    screen:wait_for("= this\ntide>$")
  end)

  it("cancels what runs at Ctrl-C and lives on", function()
    start():enter("run")
    screen:wait_for("= run")
    screen:press("C-c")
    screen:wait_for("\ncancelled\ntide>$")
    screen:enter("after")
    screen:wait_for("= after\ntide>$")
  end)

  it("leaves a line that does not end, or does not even start, at the second Ctrl-C", function()
    for index, line in ipairs { "run", "hang" } do
      start("ignores"):enter(line)
      screen:wait("the end", function()
        screen:press("C-c")
        return select(2, screen:text():gsub("it was left", "")) == index
      end)
      screen:wait_for_line("^shell%$$")
    end
  end)

  it("keeps what is typed while a line runs, unseen, for the next", function()
    start():enter("slow")
    screen:wait_for("= slow")
    screen:enter("ahead")
    screen:wait_for("\n= slow\ntide> ahead\n= ahead\ntide>$")
  end)

  it("drops what was typed ahead of a line that is cancelled", function()
    start():enter("run")
    screen:wait_for("= run")
    screen:enter("ahead")
    screen:press("C-c")
    screen:wait_for("\ncancelled\ntide>$")
    screen:enter("after")
    screen:wait_for("\ncancelled\ntide> after\n= after\ntide>$")
  end)

  it("takes a paste of 20 lines, each a line, tabs and all", function()
    local lines = {}
    for index = 1, 20 do
      lines[index] = ("\tline %d 한글"):format(index)
    end
    start():paste(table.concat(lines, "\n"))
    screen:wait_for("= +line 19 한글\ntide> +line 20 한글$")
    screen:press("Enter")
    screen:wait_for("= +line 20 한글\ntide>$")
    local shown = 0
    for _ in screen:all():gmatch("\n= +line %d+ 한글") do
      shown = shown + 1
    end
    assert.equal(20, shown)
  end)

  it("takes a paste of 64 KiB, and refuses one that is longer", function()
    start():paste(("x"):rep(70000) .. "\n")
    screen:wait_for("longer than 64 KiB; it was not run\ntide>$", 20)
    screen:enter("after")
    screen:wait_for("= after\ntide>$")
  end)

  it("starts the prompt on a line of its own", function()
    start():enter("part")
    screen:wait_for("\npart\ntide>$")
  end)

  it("follows the size of the terminal", function()
    start():type("columns")
    screen:resize(60, 20)
    screen:wait("the new size", function() return screen:text():find("tide> columns$") end)
    screen:press("Enter")
    screen:wait_for("\n60\ntide>$")
  end)

  it("draws a long line anew when the terminal becomes narrower", function()
    start():type(("a"):rep(60) .. "end")
    screen:resize(40, 24)
    screen:type("!")
    screen:wait_for("tide> " .. ("a"):rep(34) .. "\n" .. ("a"):rep(26) .. "end!$")
    local _, prompts = screen:all():gsub("tide>", "")
    assert.equal(1, prompts)
  end)

  it("shows why a line did not start, and goes on", function()
    start():enter("bad")
    screen:wait_for("tide> bad\n1: unexpected symbol\ntide>$")
  end)

  it("ends with 0 at Ctrl-D in an empty line, whatever failed before", function()
    start():enter("fail")
    screen:wait_for("= fail\ntide>$")
    screen:type("x")
    screen:press("C-d", "BSpace", "C-d")
    screen:wait_for_line("^shell%$$")
    screen:enter("echo code $?")
    screen:wait_for("\ncode 0\n")
  end)

  it("gives the terminal its modes back, however it ends", function()
    local before = screen:modes()
    local function ends(how, seen)
      start()
      assert.not_equal(before, screen:modes())
      how()
      screen:wait("the modes after " .. seen, function() return screen:modes() == before end)
      screen:wait_for_line("shell%$$")
    end
    ends(function() screen:press("C-d") end, "Ctrl-D")
    ends(function() screen:enter(".quit") end, ".quit")
    for _, signal in ipairs { "TERM", "HUP", "ABRT", "QUIT", "SYS" } do
      ends(function()
        os.execute(("kill -%s %s"):format(signal, screen:find_process("session.lua")))
      end, signal)
    end
  end)

  it("says once that its history cannot be kept", function()
    start(nil, { XDG_STATE_HOME = "/proc" }):enter("a")
    screen:wait_for("hello\nthe history is not kept: .-\ntide> a\n= a\ntide>$")
    screen:press("Up")
    screen:wait_for_line("^tide> a$")
  end)
end)
