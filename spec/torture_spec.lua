-- The short form of `make torture`.

local torture = require "spec.support.torture"


describe("events, under SIGKILL", function()
  for round = 1, 2 do
    it("are stored and processed once when they were acknowledged: round " .. round, function()
      local seed = os.time() + round
      local result = torture.run { kills = 5, rate = 500, seed = seed, longest = 0.4 }
      assert.same({}, result.faults, "seed " .. seed)
      assert.equal(5, result.killed)
      assert.is_true(result.sent > 100)
      assert.equal(result.sent, result.acknowledged)
      assert.equal(result.sent, result.stored)
      assert.is_true(result.effects > 0)
    end)
  end
end)
