-- Steps 1 to 3 of a webhook, against the real service.

local host = require "tide.host"
local json = require "tide.json"
local task = require "tide.task"
local webhooks = require "spec.support.webhooks"


describe("receiving a webhook", function()
  local acme


  setup(function()
    acme = webhooks.start({
      ["providers/acme.lua"] = webhooks.provider [[
        ["ok"] = function(ctx, event) return { seen = event.payload.n } end,
        ["echo"] = function(ctx, event)
          return { id = event.id, event_id = event.event_id, type = event.type, body = event.body,
            source = event.source, attempt = event.attempt, header = event.headers["x-EXTRA"],
            received_at = event.received_at,
            trace_id = ctx.trace_id, authorization = event.headers.authorization, cookie = event.headers.cookie }
        end,
        ["ignored"] = false,
      ]],
      ["providers/many.lua"] = [[return {
        webhooks = {
          one = { signature = "none", event_type = "type",
            on = { ["*"] = function(ctx, event) return event.source end } },
          two = { signature = { scheme = "none" }, on = { ["*"] = function(ctx, event) return event.source end },
            respond = { status = 202, headers = { ["Content-Type"] = "text/plain" }, body = "thanks" } },
          list = { signature = "none", events = function(payload)
              local list = {}
              for i, item in ipairs(payload.items) do
                list[i] = { type = item.kind, id = item.key, payload = item }
              end
              return list
            end, on = { ["*"] = function(ctx, event) return event.payload.key end } },
          hello = { signature = "none", handshake = function(request, secret)
              if request.method == "GET" then
                return { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = "hi " .. request.query }
              end
            end, on = {} },
          form = { signature = "none", events = function(payload)
              return { { type = "a", id = payload.n .. "a", payload = payload }, { type = "b", id = payload.n .. "b",
                payload = payload } }
            end, on = { ["*"] = function(ctx, event)
              event.payload.n, event.headers.seen = event.payload.n .. "!", (event.headers.seen or "") .. "!"
              if event.attempt == 1 then error("not yet") end
              return event.payload.n .. event.headers.seen
            end } },
          key = { signature = "none", event_type = "type", ordering_key = "key",
            on = { ["*"] = function(ctx, event) return event.ordering_key or "none" end } },
          own = { signature = { header = "X-Key", secret = "own_key", scheme = function(request, secrets)
              return request.headers["x-key"] == secrets.own_key[1]
            end }, on = { ["*"] = function(ctx, event) return event.headers["x-key"] end } },
          broken = { signature = "none", event_type = function(payload) return payload.a.b.c end, on = {} },
        },
      }]],
      ["providers/plain.lua"] = [[return { operations = { go = { run = function() return {} end } } }]],
      ["providers/wrong.lua"] = "return {",
    }, { workers = 2, config = "webhook_max_bytes = 4096", top = "defaults = { webhook_retry_seconds = { 0 } },",
      environment = { TIDEGATE_MANY_OWN_KEY = webhooks.SECRET .. "-own" } })
  end)


  teardown(function() acme:close() end)


  local function many(source, body, options)
    options = options or {}
    return acme.service:request(options.method or "POST", "/api/v1/webhooks/many/" .. source, {
      token = false, body = body, headers = options.headers or { ["Content-Type"] = "application/json" },
    })
  end


  it("answers its id and runs its handler", function()
    local id, answer = acme:post { type = "ok", id = "evt_1", n = 7 }
    assert.is_false(answer.duplicate)
    local event = acme:await(id, "completed")
    assert.same({ seen = 7 }, event.processing_result)
    assert.same({ "acme", "ok", "evt_1", 1, true }, { event.integration_name, event.event_type, event.event_id,
      event.attempts, event.signature_verified })
    assert.same({ type = "ok", id = "evt_1", n = 7 }, event.payload)
  end)


  it("gives the handler the bytes as they came, headers without credentials, and the trace", function()
    local body = '{ "type":"echo",\n "id": 12, "name": "홍길동" }'
    local id = acme:post(body, { headers = { ["X-Extra"] = "yes", Authorization = "Bearer hush-hush-hush",
      Cookie = "a=b", traceparent = "00-" .. ("ab"):rep(16) .. "-" .. ("12"):rep(8) .. "-01" } })
    local event = acme:await(id, "completed")
    local seen = event.processing_result
    assert.same({ body, "12", "echo", "", 1, "yes", id }, { seen.body, seen.event_id, seen.type, seen.source,
      seen.attempt, seen.header, seen.id })
    assert.same({ "[redacted]", "[redacted]", ("ab"):rep(16) }, { seen.authorization, seen.cookie, seen.trace_id })
    assert.equal(("ab"):rep(16), event.trace_id)
    assert.is_nil(json.encode(event):find("hush", 1, true))
  end)


  it("tells a duplicate, and runs it once", function()
    local first = acme:post { type = "ok", id = "evt_twice", n = 1 }
    local second, answer = acme:post { type = "ok", id = "evt_twice", n = 1, again = true }
    assert.is_true(answer.duplicate)
    assert.equal(first, second)
    acme:await(first, "completed")
    assert.equal(1, #acme:events "event_id=evt_twice")
  end)


  it("knows an event without an id by its body", function()
    local first = acme:post { type = "ok", n = 1 }
    local same, answer = acme:post { type = "ok", n = 1 }
    local other = acme:post { type = "ok", n = 2 }
    assert.same({ first, true }, { same, answer.duplicate })
    assert.not_equal(first, other)
  end)


  it("runs an event once that comes 1,000 times at once from 50 connections", function()
    local statuses, sends, fresh = {}, {}, 0
    for index = 1, 1000 do
      sends[index] = function()
        local status, answer = acme:send { type = "ok", id = "evt_flood", n = 5 }
        statuses[status] = (statuses[status] or 0) + 1
        fresh = fresh + (answer.duplicate and 0 or 1)
        return true
      end
    end
    task.all(sends, { limit = 50 })
    assert.same({ [200] = 1000 }, statuses)
    assert.equal(1, fresh)
    local found = acme:events "event_id=evt_flood"
    assert.equal(1, #found)
    assert.equal(1, acme:await(found[1].id, "completed").attempts)
  end)


  it("completes at once what is known and needs nothing", function()
    local id = acme:post { type = "ignored", id = "evt_ignored" }
    assert.equal("completed", acme:event(id).status)
  end)


  it("fails at once what nobody handles, and says which type", function()
    local id = acme:post { type = "strange", id = "evt_strange" }
    local event = acme:event(id)
    assert.equal("failed", event.status)
    assert.truthy(event.error_message:find('"strange"', 1, true))
  end)


  it("stores what is rightly signed and no JSON, and says what is wrong with it", function()
    local event = acme:await(acme:post("{not json"), "failed")
    assert.truthy(event.error_message:find("the body is not JSON", 1, true))
    assert.equal(json.null, event.payload)
    assert.equal("{not json", event.body)
  end)


  it("takes every payload that is no object", function()
    for _, body in ipairs { "[1,2]", '"text"', "17", "null", "true", "" } do
      local event = acme:await(acme:post(body), "failed")
      assert.equal("", event.event_type)
      assert.equal(1, event.attempts)
    end
  end)


  it("stores an event whose type or id is no text, and says so", function()
    for index, payload in ipairs { { type = "ok", id = { 1 } }, { type = "ok", id = true }, { type = { a = 1 } },
      { type = 1.5, id = "odd-type" } } do
      payload.n = index
      local event = acme:await(acme:post(payload), "failed")
      assert.same({ "", 1 }, { event.event_type, event.attempts })
      assert.truthy(event.error_message:find("not text", 1, true), event.error_message)
    end
  end)


  it("takes bytes that are no text, wherever they are", function()
    local event = acme:await(acme:post('{"type":"\255\254","id":"x"}'), "failed")
    assert.truthy(event.error_message)
    event = acme:await(acme:post({ type = "ok", id = ("é"):rep(300), n = 1 }), "completed")
    assert.is_true(#event.event_id <= 255)
    assert.truthy(utf8.len(event.event_id))
    event = acme:await(acme:post({ type = "ok\0x", id = "nul", n = 1 }), "failed")
    assert.truthy(event.error_message:find("no handler", 1, true))
    event = acme:await(acme:post({ type = "ok", id = "odd", n = 1 }, { headers = { ["X-Odd"] = "caf\233" } }),
      "completed")
    assert.equal("caf?", event.headers["x-odd"])
  end)


  it("finds the handler of a type by what is kept of it, each time it is read", function()
    local long = "long." .. ("x"):rep(200)
    local event = acme:await(acme:post { type = long, id = "long" }, "failed")
    assert.equal(long:sub(1, 100), event.event_type)
    assert.truthy(event.error_message:find('"' .. long:sub(1, 100) .. '"', 1, true))
  end)


  it("takes a form", function()
    local id = acme:post("type=ok&id=form-1&n=9", { type = "application/x-www-form-urlencoded" })
    local event = acme:await(id, "completed")
    assert.same({ seen = "9" }, event.processing_result)
    assert.equal(json.null, event.payload)
  end)


  it("property 51: refuses a wrong signature with 401, before anything is stored or run", function()
    local before = acme:metric('tidegate_webhooks_received_total{integration="acme",outcome="unauthorized"}') or 0
    local body = json.encode { type = "ok", id = "evt_forged" }
    local attempts = {
      { secret = "another" }, { headers = { ["X-Acme-Signature"] = "" } },
      { headers = { ["X-Acme-Signature"] = "zz" } },
      { headers = { ["X-Acme-Signature"] = webhooks.sign(body .. " ") } },
    }
    for _, options in ipairs(attempts) do
      local status, problem = acme:send(body, options)
      assert.same({ 401, "unauthorized" }, { status, problem.code })
    end
    assert.equal(0, #acme:events "event_id=evt_forged")
    assert.equal(before + #attempts, acme:metric(
      'tidegate_webhooks_received_total{integration="acme",outcome="unauthorized"}'))
  end)


  it("says which secret matched", function()
    acme:post { type = "ignored", id = "evt_match" }
    assert.is_true(acme:metric(
      'tidegate_webhook_secret_matches_total{integration="acme",secret="webhook_secret"}') >= 1)
  end)


  it("refuses a body one byte over the limit", function()
    local head = '{"type":"ignored","id":"big","pad":"'
    local fits = head .. ("x"):rep(4096 - #head - 2) .. '"}'
    assert.equal(4096, #fits)
    assert.equal(200, (acme:send(fits)))
    local status, problem = acme:send((fits:gsub("x", "xx", 1)))
    assert.same({ 413, "payload_too_large" }, { status, problem.code })
  end)


  it("refuses heads of 64 KiB", function()
    local status = acme:send({ type = "ok", id = "head" }, { headers = { ["X-Long"] = ("h"):rep(65536) } })
    assert.equal(431, status)
    assert.equal(0, #acme:events "event_id=head")
  end)


  it("makes the address that was signed in time, whatever Host says", function()
    local receive = require "tide.webhook.receive"
    local request = { method = "POST", target = "/x", body = "", header_table = function()
      return { host = ("/"):rep(30000) .. "x", ["x-forwarded-proto"] = "gopher" }
    end }
    local started = os.clock()
    local signed = receive.signed_request({}, { integration = { values = {} } }, request)
    assert.equal("http://////", signed.url:sub(1, 11))
    assert.is_true(os.clock() - started < 0.1)
  end)


  it("is known at its address alone", function()
    for path, code in pairs {
      ["/api/v1/webhooks/nobody"] = "no_such_operation", ["/api/v1/webhooks/plain"] = "no_such_operation",
      ["/api/v1/webhooks/many"] = "no_such_operation", ["/api/v1/webhooks/many/three"] = "no_such_operation",
      ["/api/v1/webhooks/acme/one"] = "no_such_operation", ["/api/v1/webhooks/wrong"] = "not_loaded",
    } do
      local status, problem, headers = acme.service:request("POST", path, { token = false, body = "{}" })
      assert.equal(code, problem.code, path)
      assert.equal(code == "not_loaded" and 503 or 404, status)
      if status == 503 then
        assert.truthy(headers["retry-after"])
      end
    end
  end)


  it("takes no token for a signature, and no signature for a token", function()
    local status = acme.service:request("POST", "/api/v1/webhooks/acme", { body = "{}" })
    assert.equal(401, status)
    assert.equal(200, (acme:send({ type = "ignored", id = "tok" }, { headers = { Authorization = "Bearer wrong" } })))
  end)


  it("has named sources, each with an address, ids and an answer of its own", function()
    local _, one = many("one", '{"type":"x","n":1}')
    assert.equal("one", acme:await(one.id, "completed").processing_result)
    assert.equal("one", acme:event(one.id).source)
    local status, two, headers = many("two", '{"type":"x","n":1}')
    assert.same({ 202, "thanks", "text/plain" }, { status, two, headers["content-type"] })
    assert.equal(1, #acme:events "integration=many&source=two")
  end)


  it("unpacks an envelope in one commit", function()
    local body = '{"items":[{"kind":"a","key":"k1"},{"kind":"b","key":"k2"},{"kind":"a","key":"k1"}]}'
    local status, answer = many("list", body)
    assert.same({ 200, 3 }, { status, #answer.ids })
    assert.equal(answer.ids[1], answer.ids[3])
    assert.equal("k2", acme:await(answer.ids[2], "completed").processing_result)
    assert.equal(2, #acme:events "integration=many&source=list")
    local _, again = many("list", body)
    assert.same(answer.ids, again.ids)
    local _, none = many("list", '{"items":[]}')
    assert.equal("[]", json.encode(none.ids))
  end)


  it("leaves an event of an envelope that has no type to the handler for all", function()
    local _, answer = many("list", '{"items":[{"key":"typeless"}]}')
    assert.equal("typeless", acme:await(answer.ids[1], "completed").processing_result)
  end)


  it("stores what its provider cannot read, and fails it with that error", function()
    local _, answer = many("broken", '{"n":1}')
    local event = acme:await(answer.id, "failed")
    assert.truthy(event.error_message:find("providers/many.lua:%d+:"), event.error_message)
    assert.same({ "", "script_error" }, { event.event_type, event.error_type })
    assert.equal(64, #event.event_id)
  end)


  it("takes an empty ordering key for none", function()
    local _, answer = many("key", '{"type":"x","key":""}')
    local event = acme:await(answer.id, "completed")
    assert.same({ "none", json.null }, { event.processing_result, event.ordering_key })
  end)


  it("gives each event of an envelope its own payload and headers, in each run", function()
    local _, answer = many("form", "n=1", { headers = { ["Content-Type"] = "application/x-www-form-urlencoded" } })
    for _, id in ipairs(answer.ids) do
      local event = acme:await(id, "completed")
      assert.same({ 2, "1!!" }, { event.attempts, event.processing_result })
    end
  end)


  it("answers a handshake of its provider's, and other GETs with 405", function()
    local status, body = many("hello?challenge=7", nil, { method = "GET" })
    assert.same({ 200, "hi challenge=7" }, { status, body })
    assert.equal(405, (many("one", nil, { method = "GET" })))
    assert.equal(405, (many("one", nil, { method = "HEAD" })))
    assert.equal(405, (many("one", nil, { method = "PUT" })))
  end)


  it("does not keep the secret that a provider's own function compares", function()
    local _, answer = many("own", '{"n":1}', { headers = { ["X-Key"] = webhooks.SECRET .. "-own" } })
    assert.falsy(acme:await(answer.id, "completed").processing_result:find(webhooks.SECRET, 1, true))
    local _, refused = many("own", '{"n":1}', { headers = { ["X-Key"] = "another" } })
    assert.equal("unauthorized", refused.code)
  end)


  it("works over the Unix socket, where nothing is processed, too", function()
    local http = require "tide.http"
    local body = json.encode { type = "ok", id = "by-socket", n = 3 }
    local response = assert(http.request {
      method = "POST", url = "http://localhost/api/v1/webhooks/acme", body = body,
      headers = { { "X-Acme-Signature", webhooks.sign(body) }, { "Content-Type", "application/json" } },
      unix_socket = acme.project.folder .. "/var/tidegate.sock", timeout_seconds = 5,
    })
    assert.equal(200, response.status)
    acme:await(json.decode(response.body).id, "completed")
  end)


  it("leaves no secret in the log", function()
    local log = acme.service:stdout()
    assert.is_nil(log:find(webhooks.SECRET, 1, true))
    assert.truthy(log:find("a webhook was refused", 1, true))
    local database = host.read_file(acme.project.folder .. "/var/tidegate.db", 64 * 1024 * 1024)
    assert.is_nil(database:find(webhooks.SECRET, 1, true))
  end)
end)
