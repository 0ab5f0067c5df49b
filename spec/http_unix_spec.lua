local host = require "tide.host"
local http = require "tide.http"
local server = require "tide.server"


describe("tide.http over a Unix socket", function()
  local folder, listener


  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
  end)


  after_each(function()
    if listener then
      listener:close()
      listener = nil
    end
    os.execute("rm -rf '" .. folder .. "'")
  end)


  local function listen(path)
    assert(host.make_directory(path:match("^(.*)/")))
    listener = assert(server.listen("unix:" .. path, function(request)
      request:respond(200, {}, ("%s %s %s"):format(request.peer, request:header("host"), request.target))
    end))
  end


  it("connects to the socket and sends what the URL says", function()
    listen(folder .. "/s")
    local response = assert(http.request { method = "GET", url = "http://anything.example/a?b=1",
      unix_socket = folder .. "/s" })
    assert.equal("unix anything.example /a?b=1", response.body)
    assert.is_false(response.reused)
  end)


  it("reaches a path that is longer than a socket address", function()
    local path = folder .. "/" .. ("long"):rep(40) .. "/socket"
    listen(path)
    assert.equal(200, assert(http.request { method = "GET", url = "http://localhost/", unix_socket = path }).status)
  end)


  it("says so when nobody listens, and goes by addresses again afterwards", function()
    local response, message, code, sent = http.request { method = "GET", url = "http://localhost/",
      unix_socket = folder .. "/none/s" }
    assert.is_nil(response)
    assert.matches("none/s", message)
    assert.equal("network_error", code)
    assert.is_false(sent)
    listen(folder .. "/s")
    assert(http.request { method = "GET", url = "http://localhost/", unix_socket = folder .. "/s" })
    local guard <close> = assert(server.listen("127.0.0.1:0", function(request)
      request:respond(200, {}, request.peer)
    end))
    response = assert(http.request { method = "GET", url = "http://" .. guard.address .. "/" })
    assert.matches("^127%.0%.0%.1:", response.body)
  end)
end)
