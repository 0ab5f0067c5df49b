-- The first example of docs/webhooks.md does what the page says: its provider, its payload and its spec, in a
-- project of their own.

local host = require "tide.host"
local json = require "tide.json"
local service = require "spec.support.service"

local PAGE_BYTES_MAX = 1024 * 1024
local SECRET = "whsec_0123456789abcdef"


-- The blocks of code of one language under a heading, in order.
local function blocks_of(page, heading, language)
  local start = assert(page:find("\n## " .. heading .. "\n", 1, true), "no heading " .. heading)
  local section = page:sub(start + 1, (page:find("\n## ", start + 1, true) or #page + 1))
  local blocks = {}
  for block in section:gmatch("\n```" .. language .. "\n(.-)\n```") do
    blocks[#blocks + 1] = block
  end
  return blocks
end


describe("the first webhook of the documentation", function()
  local project, running


  setup(function()
    local page = assert(host.read_file("docs/webhooks.md", PAGE_BYTES_MAX))
    local lua = blocks_of(page, "A first webhook", "lua")
    project = service.project {
      ["providers/shop.lua"] = lua[1],
      ["order.json"] = blocks_of(page, "A first webhook", "json")[1],
      ["spec/shop_spec.lua"] = lua[2],
    }
    running = project:serve { environment = { TIDEGATE_SHOP_WEBHOOK_SECRET = SECRET } }
  end)


  teardown(function() project:close() end)


  local function command(...)
    local code, out, err = project:run_beside({ ... }, { TIDEGATE_SHOP_WEBHOOK_SECRET = SECRET })
    assert.equal(0, code, err .. out)
    return json.decode(out)
  end


  it("passes the spec that stands beside it", function()
    local code, out, err = project:run_beside({ "test", "spec/shop_spec.lua" })
    assert.equal(0, code, err .. out)
    assert.truthy(out:find("2 successes / 0 failures / 0 errors", 1, true), out)
  end)


  it("is checked, sent, told when it comes again, and shown with its result", function()
    assert.is_true(command("check").ok)
    local url = running.origin
    local first = command("webhooks", "send", "shop", "--file", "order.json", "--url", url)
    assert.is_false(first.duplicate)
    local second = command("webhooks", "send", "shop", "--file", "order.json", "--url", url)
    assert.same({ first.id, true }, { second.id, second.duplicate })
    local event = service.wait("the event to be completed", function()
      local seen = command("webhooks", "show", first.id).data
      return seen.status == "completed" and seen
    end)
    assert.same({ "order.paid", "evt_1001", { order = "A-17", amount = 12000 } },
      { event.event_type, event.event_id, event.processing_result })
  end)
end)
