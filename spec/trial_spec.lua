local trial = require "tide.state.trial"


describe("tide.state.trial", function()
  local name = "spec_trial"


  after_each(function()
    trial.stop(name)
  end)


  it("says once that a version fails: at five errors among its first twenty calls", function()
    trial.begin(name, "b")
    for call = 1, 19 do
      assert.is_nil(trial.note(name, "b", call > 15))
    end
    assert.same({ version = "b", calls = 19, errors = 4, is_on = true }, trial.read(name))
    assert.equal("failing", trial.note(name, "b", true))
    assert.is_nil(trial.note(name, "b", true))
    assert.is_false(trial.read(name).is_on)
  end)


  it("counts as many calls and errors as it is told to", function()
    trial.begin(name, "b", 2, 1)
    assert.is_nil(trial.note(name, "b", false))
    assert.equal("failing", trial.note(name, "b", true))
    trial.begin(name, "c", 1, 1)
    assert.is_nil(trial.note(name, "c", false))
    assert.is_nil(trial.note(name, "c", true))
  end)


  it("goes on when the same version begins again, and knows no other's calls", function()
    trial.begin(name, "b")
    assert.is_nil(trial.note(name, "b", true))
    assert.is_nil(trial.note(name, "a", true))
    trial.begin(name, "b")
    assert.equal(1, trial.read(name).errors)
    trial.begin(name, "c")
    assert.same({ version = "c", calls = 0, errors = 0, is_on = true }, trial.read(name))
  end)


  it("is forgotten when it is stopped", function()
    trial.begin(name, "b", 1, 1)
    assert.equal("failing", trial.note(name, "b", true))
    trial.stop(name)
    assert.is_nil(trial.read(name))
    assert.is_nil(trial.note(name, "b", true))
    trial.begin(name, "b", 1, 1)
    assert.equal("failing", trial.note(name, "b", true))
  end)


  it("refuses what names nothing and limits that are none", function()
    assert.has_error(function() trial.begin("", "b") end)
    assert.has_error(function() trial.begin(("n"):rep(128), "b") end)
    assert.has_error(function() trial.begin(name, "") end)
    assert.has_error(function() trial.begin(name, ("v"):rep(128)) end)
    assert.has_error(function() trial.begin(name, "b", 0) end)
    assert.has_error(function() trial.begin(name, "b", 20, 0) end)
    assert.has_error(function() trial.begin(name, "b", 1 << 32) end)
  end)
end)
