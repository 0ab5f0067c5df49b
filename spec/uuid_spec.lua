local uuid = require "tide.uuid"


describe("tide.uuid", function()
  it("makes version 7 ids that are valid and rise", function()
    local previous = ""
    for _ = 1, 5000 do
      local id = uuid.v7()
      assert.is_true(uuid.is_valid(id))
      assert.equal("7", id:sub(15, 15))
      assert.is_true(id > previous)
      previous = id
    end
  end)


  it("makes version 4 ids that differ", function()
    local one, two = uuid.v4(), uuid.v4()
    assert.equal("4", one:sub(15, 15))
    assert.are_not.equal(one, two)
  end)


  it("makes trace and span ids of 32 and 16 digits", function()
    assert.matches("^%x+$", uuid.trace_id())
    assert.equal(32, #uuid.trace_id())
    assert.matches("^%x+$", uuid.span_id())
    assert.equal(16, #uuid.span_id())
  end)


  it("says what is no UUID, whatever its type", function()
    assert.is_false(uuid.is_valid("019b76da-a87b-7000-8000-00000000000"))
    assert.is_false(uuid.is_valid(12))
    assert.is_false(uuid.is_valid(nil))
    assert.has_error(function() uuid.is_valid() end)
  end)
end)
