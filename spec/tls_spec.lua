-- TLS outside and inside: the API under a certificate of its own, and client certificates for third
-- parties that ask for one.

local t = require "tide.test"
local certificate = require "tide.certificate"
local errors = require "tide.errors"
local host = require "tide.host"
local http = require "tide.http"
local server = require "tide.server"
local task = require "tide.task"
local time = require "tide.time"
local tls = require "tide.tls"
local certificates = require "spec.support.certificates"
local support = require "spec.support.service"

local CONFIG = [[
return {
  tls = { certificate = "served.pem", key = "served.key" },
}
]]


-- The files of an identity become those that are served, one after the other, as a renewal does it.
local function install(project, name)
  for _, kind in ipairs { ".pem", ".key" } do
    project:write("served" .. kind .. ".new", project:read(name .. kind))
    assert(os.rename(project.folder .. "/served" .. kind .. ".new", project.folder .. "/served" .. kind))
  end
end


describe("the API over TLS", function()
  local project, authority


  before_each(function()
    project = support.project({ ["config.lua"] = CONFIG })
    authority = certificates.authority(project.folder, "authority")
    certificates.issue(project.folder, "authority", "first")
    install(project, "first")
  end)


  after_each(function()
    project:close()
  end)


  local function serve(options)
    options = options or {}
    options.tls = { ca = options.ca or authority }
    return project:serve(options)
  end


  it("answers over https, and says so", function()
    local service = serve()
    assert.matches("^https://127%.0%.0%.1:%d+$", service.address)
    assert.matches("listens on https://127", service:stderr())
    assert.matches("curl %-s https://127", service:stderr())
    local pipe = io.popen(("curl -s --cacert %s/authority.pem %s/health"):format(project.folder, service.address))
    assert.equal('{"status":"healthy"}', pipe:read("a"))
    pipe:close()
    assert.equal(200, (service:request("GET", "/api/v1/integrations")))
    assert.equal(0, service:stop())
  end)


  it("answers its own commands through the Unix socket as before", function()
    local service = serve()
    local code, out = project:run_beside({ "status", "--json" })
    assert.equal(0, code)
    assert.is_truthy(out:find(service.address, 1, true))
  end)


  it("closes what is no TLS and counts it", function()
    local service = serve()
    local response, _, code = http.request { method = "GET", url = "http://" .. service.address:sub(9) .. "/health" }
    assert.is_nil(response)
    assert.equal("network_error", code)
    support.wait("the count", function()
      local _, text = service:request("GET", "/metrics")
      return text:find('tidegate_tls_handshakes_total{outcome="failed"} 1', 1, true)
    end)
  end)


  it("serves a certificate that was renewed, and no request fails meanwhile", function()
    local second = certificates.authority(project.folder, "second_authority")
    certificates.issue(project.folder, "second_authority", "second")
    local service = serve({ workers = 2, ca = authority .. second })
    local over, statuses = false, {}
    local callers = {}
    for index = 1, 4 do
      callers[index] = task.detach(function()
        while not over do
          local status, message = service:request("GET", "/health", { fresh_connection = index % 2 == 0 })
          statuses[status or message] = (statuses[status or message] or 0) + 1
        end
      end)
    end
    install(project, "second")
    support.wait("the new certificate", function()
      return (http.request { method = "GET", url = service.address .. "/health", tls = { ca = second },
        fresh_connection = true })
    end)
    over = true
    for _, caller in ipairs(callers) do
      caller:join()
    end
    assert.is_true(statuses[200] > 10)
    assert.same({ [200] = statuses[200] }, statuses)
    support.wait("the log line", function()
      return service:stdout():find("another certificate is served", 1, true)
    end)
  end)


  it("keeps the certificate when its file breaks, and logs path and cause", function()
    local service = serve()
    local _, key = certificates.issue(project.folder, "authority", "other")
    project:write("served.key", key)
    support.wait("the complaint", function()
      return service:stdout():find("the certificate cannot be loaded", 1, true)
    end)
    local log = service:stdout()
    assert.matches("the key in [^ ]*served%.key is not that of the certificate in [^ ]*served%.pem", log)
    assert.is_nil(log:find("PRIVATE", 1, true))
    assert.is_nil(log:find(key:match("\n([^\n]+)\n"), 1, true))
    assert.equal(200, (service:request("GET", "/health", { fresh_connection = true })))
  end)


  it("keeps the certificate while the configuration names files that are missing, and says so", function()
    local service = serve()
    local function reasons()
      return select(2, service:request("GET", "/health", { fresh_connection = true })).reasons
    end
    project:write("config.lua", CONFIG:gsub("served", "later"))
    support.wait("the fault", function() return reasons()[1] end)
    assert.matches("config%.lua:2: tls: could not read [^ ]*later%.pem", reasons()[1])
    project:write("later.key", project:read("first.key"))
    project:write("later.pem", project:read("first.pem"))
    support.wait("the certificate", function() return reasons()[1] == nil end)
  end)


  it("does not start with what cannot be served, and check names the line", function()
    local function assert_fault(pattern)
      for _, command in ipairs { "check", "serve" } do
        local code, _, err = project:run({ command })
        assert.equal(1, code)
        assert.matches("config%.lua:2: tls: " .. pattern, err)
      end
    end
    project:write("served.key", "-----BEGIN nothing")
    assert_fault("[^ ]*served%.key holds no private key")
    certificates.issue(project.folder, "authority", "other")
    project:write("served.key", project:read("other.key"))
    assert_fault("the key in ")
    os.remove(project.folder .. "/served.pem")
    assert_fault("could not read [^ ]*served%.pem: No such file")
  end)


  it("is found sound by check, which warns of its end", function()
    local code, out, err = project:run({ "check", "--json" })
    assert.equal(0, code)
    assert.matches('"ok":true', out)
    assert.matches("warning: the certificate expires soon: %d%d%d%d%-", err)
    assert.is_nil(certificate.warning(time.now() + 90 * 86400))
    assert.matches("^the certificate has expired: ", certificate.warning(time.now() - 1))
  end)
end)


-- A third party that serves files of the folder to those whose certificate it knows.
local function start_upstream(project)
  local base = project.folder .. "/upstream"
  local command = ("echo $$ >%s.pid; exec openssl s_server -accept 127.0.0.1:0 -cert server.pem -key server.key "
    .. "-HTTP -Verify 1 -verify_return_error -CAfile authority.pem"):format(base)
  os.execute(("cd '%s' && sh -c '%s' >%s.out 2>&1 </dev/null &"):format(project.folder, command, base))
  local upstream = { pid_file = base .. ".pid" }
  upstream.url = "https://localhost:" .. support.wait("the third party", function()
    return (host.read_file(base .. ".out") or ""):match("ACCEPT [%d.]+:(%d+)")
  end)
  return upstream
end


local function stop_upstream(upstream)
  os.execute("kill " .. host.read_file(upstream.pid_file):match("%d+"))
end


describe("a client certificate", function()
  local project, known, elsewhere, requests, authority, certificate_text, key_text

  local SOURCE = [[
    return {
      hosts = { "127.0.0.1" },
      tls = { certificate = "client_certificate", key = "client_key", ca = "trusted" },
      config = { base_url = "%s", max_retries = 0, timeout_seconds = 5 },
      operations = {
        read = { input = true, run = function(ctx, input) return { page = ctx.http.get(input.path).body } end },
      },
    }
  ]]


  setup(function()
    project = support.project()
    authority = certificates.authority(project.folder, "authority")
    certificates.issue(project.folder, "authority", "server")
    certificate_text, key_text = certificates.issue(project.folder, "authority", "acme_client")
    assert(tls.load(project.folder .. "/server.pem", project.folder .. "/server.key"))
    elsewhere = assert(server.listen("127.0.0.1:0", function(request)
      requests = requests + 1
      request:respond(200)
    end, { tls = true }))
    requests = 0
    project:write("away", "HTTP/1.0 302 Found\r\nLocation: https://" .. elsewhere.address .. "/\r\n\r\n")
    project:write("here", "HTTP/1.0 200 OK\r\n\r\nhello")
    known = start_upstream(project)
  end)


  teardown(function()
    stop_upstream(known)
    elsewhere:close()
    project:close()
  end)


  local function integration(base_url, secrets)
    return t.integration("acme", {
      clock = "real",
      source = SOURCE:format(base_url),
      config = { base_url = base_url },
      secrets = secrets or { client_certificate = certificate_text, client_key = key_text, trusted = authority },
    })
  end


  local function failure(...)
    local ok, err = pcall(...)
    assert.is_false(ok)
    assert.is_true(errors.is(err), tostring(err))
    return err
  end


  it("is shown to base_url's origin, whose own is trusted by `ca`", function()
    assert.equal("hello", integration(known.url).call("read", { path = "/here" }).page)
  end)


  it("goes nowhere else, and its `ca` neither: not to another host, not after a redirect", function()
    local acme = integration(known.url)
    for _, path in ipairs { "https://" .. elsewhere.address .. "/", "/away" } do
      -- The upstream, which takes one connection at a time, may break one before it answers.
      support.wait("a refusal of the other host's certificate", function()
        local err = failure(acme.call, "read", { path = path })
        assert.equal("network_error", err.code)
        return err.message:find("127%.0%.0%.1:%d+: .*certificate") ~= nil
      end)
    end
    assert.equal(0, requests)
    support.wait("both refusals", function() return elsewhere:stats().failed_handshakes >= 2 end)
  end)


  it("is not_configured without its secrets, or when they hold something else", function()
    local err = failure(integration(known.url, { client_certificate = certificate_text, trusted = authority }).call,
      "read", { path = "/here" })
    assert.equal("not_configured", err.code)
    assert.matches("client_key", err.message)
    err = failure(integration(known.url, { client_certificate = certificate_text, client_key = "not-a-key",
      trusted = authority }).call, "read", { path = "/here" })
    assert.equal("not_configured", err.code)
    assert.is_nil(err.message:find("not-a-key", 1, true))
  end)
end)
