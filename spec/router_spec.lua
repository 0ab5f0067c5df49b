local router = require "tide.api.router"


local function route(method, path)
  return { method, path, needs = "none", handler = function() return method .. " " .. path end }
end


describe("the router", function()
  local root


  before_each(function()
    root = router.new {
      { routes = { route("GET", "/"), route("GET", "/logs"), route("GET", "/logs/{id}") } },
      { routes = {
        route("POST", "/things/{name}/{operation}"), route("GET", "/things/{name}/config"),
        route("PATCH", "/things/{name}/config"), route("DELETE", "/things/{name}"), route("GET", "/things/{name}"),
      } },
    }
  end)


  local function find(method, path)
    local found, params = router.find(root, method, path)
    return found and found.handler(), params
  end


  it("finds a path by its segments and hands over the parameters", function()
    assert.equal("GET /", find("GET", "/"))
    assert.equal("GET /logs", find("GET", "/logs"))
    local found, params = find("GET", "/logs/17")
    assert.equal("GET /logs/{id}", found)
    assert.same({ id = "17" }, params)
    found, params = find("POST", "/things/acme/track")
    assert.equal("POST /things/{name}/{operation}", found)
    assert.same({ name = "acme", operation = "track" }, params)
  end)


  it("prefers a literal segment to a parameter", function()
    assert.equal("GET /things/{name}/config", find("GET", "/things/acme/config"))
  end)


  it("answers HEAD as GET", function()
    assert.equal("GET /logs", find("HEAD", "/logs"))
  end)


  it("tells the methods of a path that has others", function()
    assert.same({ nil, "GET, HEAD" }, { find("POST", "/logs") })
    assert.same({ nil, "DELETE, GET, HEAD" }, { find("PUT", "/things/acme") })
    assert.same({ nil, "POST" }, { find("GET", "/things/acme/track") })
    assert.same({ nil, "GET, HEAD, PATCH" }, { find("OPTIONS", "/things/acme/config") })
  end)


  it("finds nothing at paths that are nearly right", function()
    for _, path in ipairs { "/log", "/logs/", "/logs/17/more", "//logs", "/logs//", "/things", "/things//track" } do
      assert.same({}, { find("GET", path) }, path)
    end
  end)


  it("refuses two handlers for one method and path, and two names for one parameter", function()
    assert.has_error(function()
      router.new { { routes = { route("GET", "/a/{b}"), route("GET", "/a/{b}") } } }
    end, "two handlers for GET /a/{b}")
    assert.has_error(function()
      router.new { { routes = { route("GET", "/a/{b}"), route("PUT", "/a/{c}") } } }
    end, "the parameter {c} is called {b} by another route")
  end)
end)
