local host = require "tide.host"
local log = require "tide.log"
local project_watch = require "tide.reload.project_watch"
local support = require "spec.support.service"
local task = require "tide.task"
local time = require "tide.time"

-- What a save may take until it is told of: 15 ms to settle, and what a busy machine adds.
local SAVE_SECONDS <const> = 0.06
-- Nothing happens: longer than what was complete, or was being written, takes to settle.
local SILENCE_SECONDS <const> = 0.25


describe("a watcher of a project's files", function()
  local project, folder, watcher


  local function follow(options)
    watcher = project_watch.new(options)
    watcher:follow { folder .. "/config.lua", folder .. "/providers", folder .. "/scripts" }
  end


  before_each(function()
    project = support.project { ["providers/acme.lua"] = "return {}" }
    folder = project.folder
  end)


  after_each(function()
    watcher:close()
    project:close()
  end)


  local function shell(command)
    assert(os.execute(("cd '%s' && { %s\n} >/dev/null 2>&1"):format(folder, command)), command)
  end


  -- Within less than the safety net takes, which is not what is to tell of it.
  local function told(seconds)
    return watcher:wait(seconds or 1)
  end


  -- The best of a few: other programs run on this machine, too.
  local function told_within(seconds, change)
    local best = math.huge
    for round = 1, 5 do
      change(round)
      local begun = time.monotonic()
      assert.is_true(told())
      best = math.min(best, time.monotonic() - begun)
      if best <= seconds then
        break
      end
    end
    assert.is_true(best <= seconds, ("told after %.3f s"):format(best))
  end


  it("tells of a save soon after it was complete", function()
    follow()
    local saves = {
      function(round) project:write("providers/acme.lua", "return { round = " .. round .. " }") end,
      function() shell "echo 'return {}' > providers/acme.lua" end,
      function() shell "sed -i s/return/return/ providers/acme.lua" end,
      function() shell "cp -p config.lua providers/acme.lua" end,
      function() shell "touch providers/acme.lua" end,
      function() shell "mv config.lua config.old && cp config.old config.lua" end,
      function(round) shell("ln -sf acme.lua providers/link.lua && mv providers/link.lua providers/l" .. round) end,
      function(round) shell("rm -f providers/acme.lua; echo > providers/acme.lua; : " .. round) end,
    }
    for _, save in ipairs(saves) do
      told_within(SAVE_SECONDS, save)
    end
    assert.is_false(watcher:wait(0))
  end)


  it("tells once of a save in the way of vim", function()
    follow()
    told_within(SAVE_SECONDS, function()
      shell [[
        : > providers/4913 && rm providers/4913 && mv providers/acme.lua providers/acme.lua~ &&
        echo 'return { vim = true }' > providers/acme.lua && rm providers/acme.lua~
      ]]
    end)
    assert.is_false(watcher:wait(SILENCE_SECONDS))
  end)


  it("tells once of many files that are saved together", function()
    follow()
    shell "i=0; while [ $i -lt 50 ]; do echo return > providers/p$i.lua; i=$((i + 1)); done"
    assert.is_true(told())
    assert.is_false(watcher:wait(SILENCE_SECONDS))
  end)


  it("tells once of what git checks out", function()
    shell [[
      git init -q . && git config user.email a@example.com && git config user.name a && git add providers config.lua &&
      git commit -qm one && git checkout -qb two && echo 'return { two = 2 }' > providers/acme.lua &&
      i=0; while [ $i -lt 20 ]; do echo return > providers/p$i.lua; i=$((i + 1)); done
      git add providers && git commit -qm two && git checkout -q -
    ]]
    follow()
    shell "git checkout -q two"
    assert.is_true(told())
    assert.is_true(project:exists("providers/p19.lua"))
    assert.is_false(watcher:wait(SILENCE_SECONDS))
  end)


  it("waits for the end of a file that is written in pieces", function()
    follow()
    local file <close> = assert(io.open(folder .. "/providers/acme.lua", "w"))
    local begun = time.monotonic()
    for _ = 1, 4 do
      file:write("-- a piece\n")
      file:flush()
      assert.is_false(watcher:wait(0.03))
    end
    file:close()
    assert.is_true(told())
    assert.is_true(time.monotonic() - begun < 1)
  end)


  it("tells of a file that is written without end all the same", function()
    follow()
    local file <close> = assert(io.open(folder .. "/providers/acme.lua", "w"))
    local writer <close> = task.spawn(function()
      while true do
        file:write("-- more\n")
        file:flush()
        task.sleep(0.02)
      end
    end)
    local begun = time.monotonic()
    assert.is_true(told())
    local taken = time.monotonic() - begun
    assert.is_true(taken > 0.3 and taken < 0.9, ("told after %.3f s"):format(taken))
    assert.equal("waiting", writer:status())
  end)


  it("says nothing of files that do not matter", function()
    follow()
    shell [[
      echo log >> service.log; mkdir var; echo 1 > var/x; echo > providers/.acme.lua.swp; mkdir migrations;
      cat providers/acme.lua config.lua; ls providers; mkdir other; rmdir other
    ]]
    assert.is_false(watcher:wait(SILENCE_SECONDS))
    shell "mkdir providers/sub"
    assert.is_true(told())
    shell "echo > providers/sub/x"
    assert.is_false(watcher:wait(SILENCE_SECONDS))
  end)


  it("keeps what happens between two waits", function()
    follow()
    project:write("providers/acme.lua", "return { a = 1 }")
    task.sleep(SILENCE_SECONDS)
    assert.is_true(watcher:wait(0))
    assert.is_false(watcher:wait(0))
  end)


  it("follows a folder that comes later, goes, and comes back", function()
    follow()
    for _ = 1, 2 do
      shell "mkdir scripts"
      assert.is_true(told())
      told_within(SAVE_SECONDS, function(round) shell("echo " .. round .. " > scripts/shared.lua") end)
      shell "rm -r scripts"
      assert.is_true(told())
    end
    shell "mkdir -p new/scripts && echo > new/scripts/a.lua && mv new/scripts scripts"
    assert.is_true(told())
    told_within(SAVE_SECONDS, function(round) shell("echo " .. round .. " > scripts/a.lua") end)
  end)


  it("follows what comes where several folders are missing", function()
    watcher = project_watch.new()
    watcher:follow { folder .. "/a/b/c/config.lua" }
    assert.is_false(watcher:wait(0.05))
    shell "mkdir a"
    assert.is_true(told())
    shell "mkdir -p a/b/c && echo > a/b/c/config.lua"
    assert.is_true(told())
    told_within(SAVE_SECONDS, function(round) shell("echo " .. round .. " > a/b/c/config.lua") end)
    shell "mv a/b a/old && mkdir -p a/b/c && echo > a/b/c/config.lua"
    assert.is_true(told())
    told_within(SAVE_SECONDS, function(round) shell("echo " .. round .. " > a/b/c/config.lua") end)
  end)


  it("follows a folder that becomes a file, a link, a link to nowhere, and a folder again", function()
    follow()
    local changes = {
      "rm -r providers && echo > providers",
      "rm providers && mkdir elsewhere && echo > elsewhere/acme.lua && ln -s elsewhere providers",
      "ln -sfn nowhere providers",
      "mkdir nowhere",
      "rm providers && ln -s providers providers",
      "rm providers && mkdir providers",
    }
    for _, change in ipairs(changes) do
      shell(change)
      assert.is_true(told(), change)
      assert.is_false(watcher:wait(0.2), change)
    end
    told_within(SAVE_SECONDS, function(round) shell("echo " .. round .. " > providers/acme.lua") end)
  end)


  it("follows links that are switched, as a release or a mounted configuration is", function()
    shell [[
      rm -r providers config.lua; mkdir ..one ..two; echo 1 > ..one/config.lua; echo 2 > ..two/config.lua;
      mkdir ..one/providers ..two/providers; echo > ..one/providers/acme.lua; echo > ..two/providers/acme.lua;
      ln -s ..one ..data; ln -s ..data/config.lua config.lua; ln -s ..data/providers providers
    ]]
    follow()
    told_within(SAVE_SECONDS, function(round)
      shell(("ln -s %s ..tmp && mv -T ..tmp ..data"):format(round % 2 == 1 and "..two" or "..one"))
    end)
    shell "ln -sfn ..two ..data"
    assert.is_true(told())
    told_within(SAVE_SECONDS, function(round) shell("echo " .. round .. " > ..two/config.lua") end)
    told_within(SAVE_SECONDS, function(round) shell("echo " .. round .. " > ..two/providers/new.lua") end)
    shell "echo > ..one/providers/acme.lua"
    assert.is_false(watcher:wait(SILENCE_SECONDS))
  end)


  it("follows a file elsewhere to which a link in a folder leads", function()
    shell "mkdir shared && echo > shared/acme.lua && ln -sf ../shared/acme.lua providers/acme.lua"
    follow()
    told_within(SAVE_SECONDS, function(round) shell("echo " .. round .. " > shared/acme.lua") end)
  end)


  it("follows another list as soon as it is told to", function()
    follow()
    shell "mkdir more && echo > more/a.lua"
    watcher:follow { folder .. "/more", folder .. "/config.lua" }
    assert.is_false(watcher:wait(0.05))
    shell "echo > more/a.lua"
    assert.is_true(told())
    shell "echo > providers/acme.lua"
    assert.is_false(watcher:wait(SILENCE_SECONDS))
  end)


  it("takes many thousand changes at once for one", function()
    follow()
    -- While this worker waits for the shell, nobody takes events: more than the kernel keeps.
    shell "cd providers && seq 6000 | xargs touch"
    assert.is_true(told())
    assert.is_false(watcher:wait(SILENCE_SECONDS))
    told_within(SAVE_SECONDS * 2, function(round) shell("echo " .. round .. " > providers/acme.lua") end)
  end)


  it("says where the kernel tells of changes", function()
    follow()
    local state = watcher:state()
    local _, real = host.stat(folder)
    assert.same({ real, real .. "/providers" }, state.folders)
    assert.same({}, state.polled)
  end)


  it("says so when that has changed", function()
    local states = {}
    follow { on_state = function(state) states[#states + 1] = state end }
    assert.equal(1, #states)
    shell "echo > providers/acme.lua"
    assert.is_true(told())
    assert.equal(1, #states)
    shell "mkdir scripts"
    assert.is_true(told())
    assert.equal(2, #states)
    assert.equal(3, #states[2].folders)
    assert.same(watcher:state(), states[2])
  end)


  describe("where the kernel tells nothing", function()
    local warn = log.warn
    local warnings, states


    before_each(function()
      warnings, states = {}, {}
      log.warn = function(_, fields) warnings[#warnings + 1] = fields end
      follow { events = false, on_state = function(state) states[#states + 1] = state end }
    end)


    after_each(function()
      log.warn = warn
    end)


    it("says so, once for each folder", function()
      local _, real = host.stat(folder)
      assert.equal(2, #warnings)
      assert.equal(real, warnings[1].folder)
      assert.equal(real .. "/providers", warnings[2].folder)
      assert.matches("not supported", warnings[1].reason)
      shell "echo changed > providers/acme.lua"
      assert.is_true(told(5))
      assert.equal(2, #warnings)
      shell "rm -r providers"
      assert.is_true(told(5))
      shell "mkdir providers"
      assert.is_true(told(5))
      assert.equal(3, #warnings)
      assert.same({ 2, 1, 2 }, { #states[1].polled, #states[2].polled, #states[3].polled })
      assert.equal(3, #states)
    end)


    it("looks itself", function()
      local state = watcher:state()
      assert.same({}, state.folders)
      assert.equal(2, #state.polled)
      assert.matches("not supported", state.polled[1].reason)
      local changes = {
        "echo changed > providers/acme.lua", "rm providers/acme.lua", "mkdir scripts", "echo > scripts/a.lua",
        "mkdir elsewhere; echo 1 > elsewhere/a; ln -s ../elsewhere/a providers/a", "echo 22 > elsewhere/a",
        "ln -sfn nowhere providers/a", "touch config.lua", "chmod 600 config.lua", "rm -r providers", "mkdir providers",
        "touch -d 2001-01-01 config.lua",
      }
      for _, change in ipairs(changes) do
        local begun = time.monotonic()
        shell(change)
        assert.is_true(told(5), change)
        assert.is_true(time.monotonic() - begun < 1.5, change)
      end
      assert.is_false(watcher:wait(SILENCE_SECONDS))
    end)


    it("waits until what it sees has stopped changing, but not for ever", function()
      local file <close> = assert(io.open(folder .. "/providers/acme.lua", "w"))
      local count = 0
      local writer <close> = task.spawn(function()
        while true do
          file:write("-- more\n")
          file:flush()
          count = count + 1
          task.sleep(0.01)
        end
      end)
      assert.is_true(told(3))
      assert.is_true(count > 30)
      writer:cancel()
      shell "echo changed > providers/acme.lua"
      assert.is_true(told(3))
      assert.is_false(watcher:wait(SILENCE_SECONDS))
    end)


    it("keeps what happens between two waits", function()
      shell "echo changed > providers/acme.lua"
      task.sleep(0.3)
      assert.is_true(told(2))
    end)
  end)


  it("ends the wait of another task when it is closed", function()
    follow()
    local waiting <close> = task.spawn(function() return watcher:wait(60) end)
    task.sleep(0.02)
    watcher:close()
    assert.same({ true, false }, { waiting:join() })
    assert.has_error(function() watcher:wait(1) end)
    watcher:close()
  end)


  it("leaves no open file behind", function()
    local function open_files()
      return #host.list("/proc/self/fd")
    end
    follow()
    local before = open_files()
    for _ = 1, 20 do
      local other <close> = project_watch.new()
      other:follow { folder .. "/providers" }
      local waiting = task.spawn(function() return other:wait(60) end)
      task.yield()
      waiting:cancel()
    end
    support.wait("the files to be closed", function() return open_files() <= before end)
  end)


  it("refuses what cannot be followed", function()
    watcher = project_watch.new()
    for _, bad in ipairs { { "" }, { "a\0b" }, { 7 }, { {} } } do
      assert.has_error(function() watcher:follow(bad) end)
    end
    local many = {}
    for i = 1, 1025 do many[i] = "x" .. i end
    assert.has_error(function() watcher:follow(many) end)
    watcher:follow { ("x/"):rep(4000), ("n"):rep(300), "..", "/", "." }
    assert.is_false(watcher:wait(0.05))
  end)
end)
