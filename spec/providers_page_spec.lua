-- docs/providers.md, followed from `tidegate init` to a live integration that is changed while it serves.

local server = require "tide.server"
local page = require "spec.support.page"


local function free_port()
  local probe <close> = server.listen("127.0.0.1:0", function() end)
  return probe.address:match("%d+$")
end


describe("the page about providers", function()
  local shell


  after_each(function()
    shell:close()
  end)


  it("leads from nothing to a live integration", function()
    local address = "127.0.0.1:" .. free_port()
    shell = page.shell {
      ["tidegate serve"] = "tidegate serve --workers 2 --listen " .. address, ["127.0.0.1:8080"] = address,
    }
    shell:follow(page.steps("docs/providers.md", "From nothing to a live integration"))
  end)
end)
