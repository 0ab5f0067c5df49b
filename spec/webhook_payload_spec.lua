local payload = require "tide.webhook.payload"

local FORM = "application/x-www-form-urlencoded"


describe("the payload of a webhook", function()
  it("is what a form says", function()
    assert.same({ a = "1 2", b = { "x", "y" } }, (payload.decode("a=1+2&b=x&b=y", FORM .. "; charset=utf-8")))
  end)


  it("is none when a form cannot be read, or is too long to be", function()
    for _, body in ipairs({ "a=%zz", "a=" .. ("x"):rep(1024 * 1024) }) do
      local value, is_json, words = payload.decode(body, FORM)
      assert.is_nil(value)
      assert.is_false(is_json)
      assert.truthy(words:find("the body is not a form", 1, true))
    end
  end)
end)
