local task = require "tide.task"
local call = require "tide.call"
local generation = require "tide.generation"
local sessions = require "tide.console.sessions"
local tokens = require "tide.tokens"
local service = require "spec.support.service"
local support = require "spec.support.console"


describe("the consoles of a process", function()
  local current, consoles


  setup(function()
    current = call.activate(call.bind(assert(generation.build { config = {}, files = {} })))
  end)


  local function close_all()
    for id in pairs(consoles.by_id) do
      consoles:close(id)
    end
  end


  local function open()
    return consoles:open {
      instance = { live = { current = function() return current end } },
      identity = { name = "console", role = "admin", rights = tokens.ROLES.admin },
    }
  end


  it("are so many at most: the one that was left alone longest is closed for another", function()
    consoles = sessions.new { max = 2 }
    local first, of_first = open()
    local second = open()
    assert.is_table(consoles:find(first))
    local third = open()
    assert.is_table(consoles:find(first))
    assert.is_nil(consoles:find(second))
    assert.is_table(consoles:find(third))
    consoles:close(first)
    assert.is_true(of_first.ended)
    consoles:close(first)
    assert.equal(1, consoles.count)
    close_all()
  end)


  it("lose a line whose output nobody reads, and no other", function()
    consoles = sessions.new { unread_seconds = 0.1, sweep_seconds = 0.02 }
    local _, unread = open()
    local _, read = open()
    unread:start("print('a') sleep(60)")
    read:start("sleep(60)")
    local reader = task.spawn(read.read, read, 30)
    service.wait("the line to be cancelled", function() return unread.state == "done" end)
    assert.equal("running", read.state)
    assert.equal("a\ncancelled\n", (unread:read(0)))
    assert.equal("1", (support.run(unread, "1")))
    reader:cancel()
    service.wait("the other to be cancelled", function() return read.state == "done" end)
    close_all()
  end)


  it("keep no task when there is none of them", function()
    consoles = sessions.new {}
    local id = open()
    assert.is_truthy(consoles.sweeper)
    consoles:close(id)
    assert.is_nil(consoles.sweeper)
  end)
end)
