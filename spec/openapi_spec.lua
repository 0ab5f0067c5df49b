local json = require "tide.json"
local task = require "tide.task"
local api = require "tide.api"
local generation = require "tide.generation"
local call = require "tide.call"
local openapi = require "tide.openapi"
local router = require "tide.api.router"
local tokens = require "tide.tokens"
local support = require "spec.support.openapi"
local service = require "spec.support.service"

local ACME = [[
return {
  summary = "Parcel tracking",
  operations = {
    track = {
      summary = "Where a parcel is",
      description = "By its number.",
      input = { type = "object", required = { "parcel" }, properties = {
        parcel = { type = "string", pattern = "^[0-9-]{10,12}$" },
        tags = { type = "array", items = { type = "string" }, default = {} },
      } },
      output = { type = "object", properties = { state = { type = "string" } } },
      cache = true,
      run = function(ctx, input) return { state = "in_transit" } end,
      mock = function() return { state = "mocked" } end,
    },
    fail = { run = function() error("no") end },
    anything = { input = true, run = function(ctx, input) return input end },
  },
  webhooks = {
    shop = { signature = { scheme = "none" }, event_type = "type", event_id = "id", on = { ["a.b"] = false } },
    list = { signature = { scheme = "token", header = "X-Token", secret = "hook" },
      handshake = function() return { status = 200, body = "hello" } end,
      events = function(payload) return {} end, on = {} },
  },
}
]]

local BROKEN = "return { operations = { a = { run = 1 } } }"


local function build(files, config)
  local sources = { config = config or {}, files = {}, scripts = {}, bundled = {} }
  for name, text in pairs(files) do
    table.insert(sources.files, { name = name, path = "providers/" .. name .. ".lua", text = text })
  end
  return call.bind((assert(generation.build(sources))))
end


local function document_for(built, role, only, integrations)
  local identity = { rights = tokens.ROLES[role], integrations = integrations }
  return json.decode((openapi.render(built, api.groups, openapi.view(built, identity, only))))
end


local function routes()
  local list = {}
  for _, group in ipairs(api.groups) do
    for _, route in ipairs(group.routes) do
      if route.needs ~= "socket" then -- of one version's own parts
        list[#list + 1] = route
      end
    end
  end
  return list
end


describe("the OpenAPI document", function()
  local built, whole


  setup(function()
    built = build { acme = ACME, broken = BROKEN }
    whole = document_for(built, "admin")
  end)


  it("finds each endpoint described where it is declared", function()
    for _, route in ipairs(routes()) do
      local name = route[1] .. " " .. route[2]
      assert.is_table(route.doc, name .. " has no doc: say what it does, in its group under scripts/tide/api/")
      assert.is_true(route.doc.summary ~= nil or route.doc.gives ~= nil, name .. " has no summary")
      assert.is_true(route.doc.answers ~= nil or route.doc.gives ~= nil, name .. " has no answers")
    end
  end)


  it("names the paths that the router has, and no others", function()
    local root = router.new(api.groups)
    local seen = {}
    for path, item in pairs(whole.paths) do
      for method in pairs(item) do
        local found = router.find(root, method:upper(), (path:gsub("{[^}]*}", "x")))
        assert.is_table(found, ("no route for %s %s"):format(method, path))
        seen[found] = true
      end
    end
    for _, route in ipairs(routes()) do
      local path = route[2]:gsub("{operation}", "track"):gsub("webhooks/{name}", "webhooks/acme"):gsub("{[^}]*}", "x")
      local found = router.find(root, route[1], path)
      local is_of_none = route[2] == "/api/v1/webhooks/{name}" -- acme's webhooks have names
      assert.is_true(seen[found] or is_of_none, ("%s %s is not in the document"):format(route[1], route[2]))
    end
  end)


  it("is sound OpenAPI 3.1, whoever asks", function()
    for role in pairs(tokens.ROLES) do
      assert.same({}, support.faults(document_for(built, role)))
    end
    assert.same({}, support.faults(document_for(build {}, "admin")))
    assert.same({}, support.faults(document_for(built, "admin", "acme")))
  end)


  it("is the same for the same providers", function()
    local other = build { acme = ACME, broken = BROKEN }
    local function render(of)
      return openapi.render(of, api.groups, openapi.view(of, { rights = tokens.ROLES.admin }))
    end
    local text, tag = render(built)
    local again, same = render(other)
    assert.equal(text, again)
    assert.equal(tag, same)
    assert.not_equal(tag, (select(2, render(build {}))))
  end)


  it("has each operation as a path of its own, with its schemas", function()
    local post = whole.paths["/api/v1/integrations/acme/track"].post
    assert.equal("Where a parcel is", post.summary)
    assert.matches("By its number.", post.description, 1, true)
    local body = post.requestBody.content["application/json"]
    assert.equal("^[0-9-]{10,12}$", body.schema.properties.parcel.pattern)
    assert.is_false(body.schema.additionalProperties)
    assert.is_true(json.is_array(body.schema.properties.tags.default))
    assert.matches("^[%d-]+$", body.example.parcel)
    local answer = post.responses["200"].content["application/json"].schema
    assert.equal("string", answer.properties.data.properties.state.type)
    assert.equal("#/components/schemas/Meta", answer.properties.meta["$ref"])
    body = whole.paths["/api/v1/integrations/acme/anything"].post.requestBody
    assert.is_true(body.content["application/json"].schema)
  end)


  it("says which headers a call takes", function()
    local function headers_of(role, operation)
      local taken = {}
      local post = document_for(built, role).paths["/api/v1/integrations/acme/" .. operation].post
      for _, each in ipairs(post.parameters) do
        taken[each["$ref"]:match("[^/]+$")] = true
      end
      return taken
    end
    local taken = headers_of("caller", "track")
    for _, name in ipairs { "Idempotency-Key", "X-Timeout-Ms", "X-Mock", "X-User-Id", "traceparent",
      "Cache-Control" } do
      assert.is_true(taken[name], name)
    end
    assert.is_nil(taken["X-Debug"])
    assert.is_true(headers_of("operator", "track")["X-Debug"])
    assert.is_nil(headers_of("caller", "fail")["Cache-Control"])
  end)


  it("says which errors can come, by status and code", function()
    local responses = whole.components.responses
    local function codes_of(name)
      return table.concat(responses[name].content["application/problem+json"].schema.allOf[2].properties.code.enum, " ")
    end
    assert.equal("invalid_input", codes_of "call_400")
    assert.equal("conflict outcome_unknown", codes_of "call_409")
    assert.matches("circuit_open.*overloaded.*unavailable", codes_of "call_503")
    assert.is_table(responses.call_503.headers["Retry-After"])
    assert.is_table(responses.call_401.headers["WWW-Authenticate"])
    assert.is_nil(responses.call_400.headers["Retry-After"])
  end)


  it("shows what a token may use, and no more", function()
    local function has(document, method, path)
      return document.paths[path] ~= nil and document.paths[path][method] ~= nil
    end
    local caller, viewer = document_for(built, "caller"), document_for(built, "viewer")
    assert.is_true(has(caller, "post", "/api/v1/integrations/acme/track"))
    assert.is_true(has(caller, "get", "/api/v1/integrations"))
    for _, path in ipairs { "/api/v1/logs", "/api/v1/tokens", "/api/v1/integrations/acme/track/explain",
      "/api/v1/webhooks/acme/shop" } do
      assert.is_nil(caller.paths[path], path)
      assert.is_table(whole.paths[path], path)
    end
    assert.is_nil(viewer.paths["/api/v1/integrations/acme/track"])
    assert.is_true(has(viewer, "get", "/api/v1/logs"))
    assert.is_nil(viewer.paths["/api/v1/tokens"])
    local bound = document_for(build { acme = ACME, other = ACME }, "admin", nil, { other = true })
    assert.is_nil(bound.paths["/api/v1/integrations/acme/track"])
    assert.is_table(bound.paths["/api/v1/integrations/other/track"])
    assert.not_matches("acme", (json.encode(bound)))
  end)


  it("describes webhooks by their definition", function()
    local shop = whole.paths["/api/v1/webhooks/acme/shop"]
    assert.matches("`none`.*Events: `a.b`", shop.post.description)
    assert.is_true(json.is_array(shop.post.security) and #shop.post.security == 0)
    assert.is_nil(shop.get)
    local list = whole.paths["/api/v1/webhooks/acme/list"]
    assert.is_table(list.post.responses["200"].content["application/json"].schema.properties.ids)
    assert.is_table(list.get)
  end)


  it("leaves out integrations that would make it too large, and names them", function()
    local most = openapi.BYTES_MAX
    openapi.BYTES_MAX = 60000
    local files = {}
    for index = 1, 9 do
      files["acme" .. index] = ACME
    end
    local large = build(files)
    local document = document_for(large, "admin")
    openapi.BYTES_MAX = most
    assert.is_table(document.paths["/api/v1/integrations/acme1/track"])
    assert.is_nil(document.paths["/api/v1/integrations/acme9/track"])
    assert.matches("Too large for this document: acme.*acme9", document.info.description)
    assert.same({}, support.faults(document))
  end)


  it("is JSON whatever a provider says", function()
    local odd = build { odd = [[return { summary = "\xff", operations = { a = {
      summary = "\xfe", description = "\xfd",
      input = { type = "object", properties = { x = { enum = { 0/0, "\xff" } } } }, run = function() end },
      b = { input = { type = "object", required = {}, properties = { required = { type = "array", enum = { {} } } } },
        run = function() end } } }]] }
    local document = document_for(odd, "admin")
    assert.same({}, support.faults(document))
  end)
end)


describe("GET /openapi.json", function()
  local project, running, document


  setup(function()
    project = service.project { ["providers/acme.lua"] = ACME }
    running = project:serve { environment = {
      TIDEGATE_MASTER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    } }
    document = select(2, running:request("GET", "/openapi.json"))
  end)


  teardown(function() project:close() end)


  it("is sound, has an ETag, and is not sent again to who has it", function()
    assert.same({}, support.faults(document))
    local status, _, headers = running:request("GET", "/openapi.json")
    assert.equal(200, status)
    assert.matches('^"%x+"$', headers.etag)
    local body
    status, body = running:request("GET", "/openapi.json", { headers = { ["If-None-Match"] = "W/" .. headers.etag } })
    assert.equal(304, status)
    assert.equal("", body)
    assert.equal(200, (running:request("GET", "/openapi.json", { headers = { ["If-None-Match"] = '"old"' } })))
    assert.equal(304, (running:request("GET", "/openapi.json", { headers = { ["If-None-Match"] = '"old", '
      .. headers.etag } })))
  end)


  it("needs a token, and knows one integration", function()
    assert.equal(401, (running:request("GET", "/openapi.json", { token = false })))
    local status, one = running:request("GET", "/openapi.json?integration=acme")
    assert.equal(200, status)
    assert.is_table(one.paths["/api/v1/integrations/acme/track"])
    assert.is_nil(one.paths["/api/v1/logs"])
    assert.equal(400, (running:request("GET", "/openapi.json?integration=nobody")))
    local _, made = running:request("POST", "/api/v1/tokens", { json = { name = "b", role = "caller",
      integrations = { "other" } } })
    assert.equal(403, (running:request("GET", "/openapi.json?integration=acme", { token = made.data.token })))
  end)


  -- An answer of the service agrees with the document, to each member.
  local function agrees(method, path, described, options)
    local status, body, headers = running:request(method, path, options)
    described = described or path
    if headers["content-type"] and not headers["content-type"]:find("json", 1, true) then
      body = nil
    end
    assert.is_nil(support.disagreement(document, described:match("^[^?]*"), method, status, body))
    return status, body
  end


  it("tells the truth about calls", function()
    local path = "/api/v1/integrations/acme/track"
    assert.equal(200, (agrees("POST", path, nil, { json = { parcel = "1234567890" } })))
    assert.equal(200, (agrees("POST", path, nil, { json = { parcel = "1234567890" }, headers = { ["X-Debug"] = "1",
      ["X-Mock"] = "1" } })))
    assert.equal(400, (agrees("POST", path, nil, { json = { parcel = 1 } })))
    assert.equal(415, (agrees("POST", path, nil, { body = "a", headers = { ["Content-Type"] = "text/plain" } })))
    assert.equal(401, (agrees("POST", path, nil, { json = {}, token = false })))
    assert.equal(500, (agrees("POST", "/api/v1/integrations/acme/fail", nil, { json = json.decode("{}") })))
    assert.equal(200, (agrees("POST", path .. "/explain", nil, { json = { parcel = "1234567890" } })))
    local example = document.paths[path].post.requestBody.content["application/json"].example
    assert.equal(200, (agrees("POST", path, nil, { json = example })))
  end)


  it("names nothing that a bound token is refused", function()
    local _, made = running:request("POST", "/api/v1/tokens", { json = { name = "bound", role = "admin",
      integrations = { "acme" } } })
    local _, bound = running:request("GET", "/openapi.json", { token = made.data.token })
    assert.is_nil(bound.paths["/api/v1/tokens"])
    for path, item in pairs(bound.paths) do
      if item.get and not path:find("{", 1, true) and not path:find("webhooks", 1, true) then
        assert.equal(200, (running:request("GET", path, { token = made.data.token })), path)
      end
    end
  end)


  it("is made once for all who ask at the same time", function()
    local branches, tags = {}, {}
    for index = 1, 20 do
      branches[index] = function()
        local status, _, headers = running:request("GET", "/openapi.json?integration=acme")
        assert.equal(200, status)
        tags[headers.etag] = true
        return true
      end
    end
    task.all(branches)
    assert.is_nil(next(tags, (next(tags))))
  end)


  it("tells the truth about webhooks", function()
    local path = "/api/v1/webhooks/acme/shop"
    assert.equal(200, (agrees("POST", path, nil, { json = { type = "a.b", id = "1" }, token = false })))
    assert.equal(503, (agrees("POST", "/api/v1/webhooks/acme/list", nil, { json = { type = "a" }, token = false })))
  end)


  it("tells the truth about the endpoints that read", function()
    running:call("acme", "track", { parcel = "1234567890" })
    running:call("acme", "fail")
    running:request("POST", "/api/v1/webhooks/acme/shop", { json = { type = "nobody", id = "2" }, token = false })
    service.wait("a row of the log", function()
      local _, logs = running:request("GET", "/api/v1/logs")
      return #logs.data > 1
    end)
    for path, item in pairs(document.paths) do
      local filled = path:gsub("{name}", "acme")
      if item.get and not filled:find("{", 1, true) and not path:find("webhooks", 1, true) then
        assert.equal(200, (agrees("GET", filled, path)), path)
      end
    end
    local _, logs = running:request("GET", "/api/v1/logs?limit=1")
    agrees("GET", "/api/v1/logs/" .. logs.data[1].id, "/api/v1/logs/{id}")
    local _, events = running:request("GET", "/api/v1/events?limit=1")
    agrees("GET", "/api/v1/events/" .. events.data[1].id, "/api/v1/events/{id}")
    assert.equal(404, (agrees("GET", "/api/v1/integrations/nobody", "/api/v1/integrations/{name}")))
    assert.equal(400, (agrees("GET", "/api/v1/logs/17", "/api/v1/logs/{id}")))
    assert.equal(200, (agrees("GET", "/health", nil, { token = false })))
  end)


  it("tells the truth about the endpoints that change", function()
    local name = "/api/v1/integrations/{name}"
    local function path_of(path) return (path:gsub("{name}", "acme"):gsub("{secret}", "hook")) end
    local function change(method, path, options)
      assert.is_true(agrees(method, path_of(path), path, options) < 300, method .. " " .. path)
    end
    local versions = {}
    for index = 1, 2 do
      change("PATCH", name .. "/config", { json = { max_retries = index } })
      local _, history = running:request("GET", path_of(name .. "/config/history"))
      versions[index] = history.data[1].version
    end
    change("POST", name .. "/config/rollback", { json = { version = versions[1] } })
    change("PUT", name .. "/breaker", { json = { mode = "open" } })
    change("PUT", name .. "/breaker", { json = { mode = "auto" } })
    change("GET", name .. "/breaker")
    change("POST", name .. "/cache/warm", { json = { operation = "track",
      inputs = { { parcel = "1234567890" }, {} } } })
    change("DELETE", name .. "/cache")
    change("PUT", name .. "/secrets/{secret}", { json = { value = "0123456789" } })
    change("GET", name .. "/secrets")
    change("POST", "/api/v1/secrets/rekey")
    project:write("providers/one_more.lua", "return { operations = { look = { run = function() return 1 end } } }")
    change("POST", "/api/v1/reload")
    os.remove(project.folder .. "/providers/one_more.lua")
    change("POST", "/api/v1/reload")
    change("DELETE", name .. "/secrets/{secret}")
    change("POST", "/api/v1/events/retry?status=failed&dry_run=true")
    local _, made = agrees("POST", "/api/v1/tokens", nil, { json = { name = "a", role = "caller" } })
    assert.equal(204, (agrees("DELETE", "/api/v1/tokens/" .. made.data.id, "/api/v1/tokens/{id}")))
    assert.equal(404, (agrees("DELETE", "/api/v1/tokens/" .. made.data.id, "/api/v1/tokens/{id}")))
    local _, event = running:request("POST", "/api/v1/webhooks/acme/shop", { json = { type = "nobody", id = "3" } })
    service.wait("the event to fail", function()
      local _, row = running:request("GET", "/api/v1/events/" .. event.id)
      return row.data.status == "failed"
    end)
    assert.equal(200, (agrees("POST", "/api/v1/events/" .. event.id .. "/retry", "/api/v1/events/{id}/retry")))
  end)


  it("lists the parameters that an endpoint takes: each is known, others are not", function()
    local SAMPLES = { uuid = "018f4a2e-6f3b-7c1d-9a5e-2b7c8d9e0f1a", ["date-time"] = "2026-01-15T09:00:00Z" }
    for path, item in pairs(document.paths) do
      local query = {}
      for _, parameter in ipairs(item.get and item.get.parameters or {}) do
        if parameter["in"] == "query" and parameter.name ~= "integration" then
          local schema = parameter.schema
          query[#query + 1] = parameter.name .. "=" .. (schema.enum and schema.enum[1] or SAMPLES[schema.format]
            or schema.type == "integer" and "1" or schema.type == "boolean" and "true" or SAMPLES.uuid)
        end
      end
      if #query > 0 and not path:find("{", 1, true) then
        assert.equal(200, (running:request("GET", path .. "?" .. table.concat(query, "&"))), path)
        assert.equal(400, (running:request("GET", path .. "?frobnicate=1")), path)
      end
    end
  end)
end)
