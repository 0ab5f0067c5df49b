local t = require "tide.test"
local crypto = require "tide.crypto"
local http = require "tide.http"
local secrets = require "tide.secrets"
local sigv4 = require "tide.auth.sigv4"
local time = require "tide.time"

-- The access key, secret key and cases of the suite that AWS publishes, and one for SNS.
local ACCESS_KEY = "AKIDEXAMPLE"
local SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
local SUITE = { at = "20150830T123600Z", region = "us-east-1", service = "service", host = "example.amazonaws.com" }
local FORM = "application/x-www-form-urlencoded"
local SNS_BODY = "Action=Publish&Version=2010-03-31&PhoneNumber=%2B821012345678"
  .. "&Message=%EC%95%88%EB%85%95%ED%95%98%EC%84%B8%EC%9A%94%20test~1"
  .. "&MessageAttributes.entry.1.Name=AWS.SNS.SMS.SMSType"
  .. "&MessageAttributes.entry.1.Value.DataType=String&MessageAttributes.entry.1.Value.StringValue=Transactional"

local CASES = {
  { "GET /", suite = SUITE,
    key = "938127b5336810ddb6a5d6af445fcac9e371f9ed418ed386b022aed82901be75",
    canonical = "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63",
    signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
  { "GET /?Param2=value2&Param1=value1", suite = SUITE,
    canonical = "816cd5b414d056048ba4f7c5386d6e0533120fb1fcfa93762cf0fc39e2cf19e0",
    signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
  { "POST /", suite = SUITE, headers = { ["content-type"] = FORM }, body = "Param1=value1",
    canonical = "42a5e5bb34198acb3e84da4f085bb7927f2bc277ca766e6d19c73c2154021281",
    signature = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
  { "POST /", suite = SUITE, body = "Param1=value1",
    headers = {
      ["content-type"] = FORM, ["content-length"] = "13",
      ["x-amz-content-sha256"] = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
    },
    canonical = "b1edd1d03544c25390e32085d55b57acc9a3961bb59415ff86c45c3d89d16cfb",
    signature = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b" },
  { "GET /?Action=ListUsers&Version=2010-05-08",
    suite = { at = SUITE.at, region = "us-east-1", service = "iam", host = "iam.amazonaws.com" },
    headers = { ["content-type"] = FORM .. "; charset=utf-8" },
    key = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9",
    canonical = "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59",
    signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7" },
  { "POST /", body = SNS_BODY,
    suite = { at = "20260115T090000Z", region = "ap-northeast-1", service = "sns",
      host = "sns.ap-northeast-1.amazonaws.com" },
    headers = { ["content-type"] = FORM .. "; charset=utf-8" },
    key = "dc713c8c756a6940583e862155a6609b0f144109d9c117b4fbbb794925e59497",
    canonical = "3defbb7d0888e23164452dd2f5998eddce8750d0d2dd30287ab6fce4df92df03",
    signature = "8d531528795ebe1a3865c49b9dd695b4e5e9cd3550689dfabb4dfcf844b8176e" },
}

local S3 = [[
return {
  auth = {
    scheme = "sigv4", access_key = "access_key", secret_key = "secret_key", session_token = "session_token",
    region = "us-east-1", service = "%s",
  },
  hosts = { "localhost" },
  config = { base_url = "https://bucket.example", max_retries = 0 },
  operations = {
    read = { input = true, run = function(ctx, input)
      return { body = ctx.http.get(input.path, { params = input.params, query = input.query, headers = input.headers,
        auth = input.auth }).body }
    end },
    write = { input = true, run = function(ctx, input)
      return { body = ctx.http.put("/file", { body = input.body, headers = { ["Content-Type"] = "text/plain" } }).body }
    end },
  },
}
]]

local SECRETS = { access_key = ACCESS_KEY, secret_key = SECRET_KEY, session_token = "session-token-0123456789" }


local function hex_digest(bytes)
  return crypto.hex(crypto.digest("sha256", bytes))
end


local function integration(service)
  local it = t.integration("store", { source = S3:format(service), secrets = SECRETS })
  it.upstream("* /*", { body = "done" })
  return it
end


-- Signs what came once more, with the names of headers that the request says it signed.
local function expected_signature(request, region, service)
  local names = request.headers.authorization:match("SignedHeaders=([^,]*)")
  local headers = {}
  for name in names:gmatch("[^;]+") do
    headers[name] = request.headers[name]
  end
  local path, query = request.target:match("^([^?]*)%??(.*)$")
  local canonical = sigv4.canonical_request({
    method = request.method, headers = headers, body_digest = hex_digest(request.body),
    path = sigv4.canonical_path(path, service), query = query,
  })
  local at = request.headers["x-amz-date"]
  local date = at:sub(1, 8)
  return sigv4.signature(sigv4.signing_key(SECRET_KEY, date, region, service), at,
    date .. "/" .. region .. "/" .. service .. "/aws4_request", canonical), names
end


local function assert_signed(request, service)
  local signature, names = expected_signature(request, "us-east-1", service)
  local scope = request.headers["x-amz-date"]:sub(1, 8) .. "/us-east-1/" .. service .. "/aws4_request"
  assert.equal(string.format("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
    ACCESS_KEY, scope, names, signature), request.headers.authorization)
  return names
end


describe("a signature of version 4", function()
  for _, case in ipairs(CASES) do
    it("is the published one: " .. case[1] .. " of " .. case.suite.host .. ", " .. case.signature:sub(1, 8), function()
      local method, path, query = case[1]:match("^(%S+) ([^?]*)%??(.*)$")
      local suite, headers = case.suite, { host = case.suite.host, ["x-amz-date"] = case.suite.at }
      for name, value in pairs(case.headers or {}) do
        headers[name] = value
      end
      local canonical = sigv4.canonical_request({
        method = method, path = sigv4.canonical_path(path, suite.service), query = sigv4.canonical_query(query),
        headers = headers, body_digest = hex_digest(case.body or ""),
      })
      assert.equal(case.canonical, hex_digest(canonical))
      local date = suite.at:sub(1, 8)
      local key = sigv4.signing_key(SECRET_KEY, date, suite.region, suite.service)
      assert.equal(case.key or crypto.hex(key), crypto.hex(key))
      local scope = date .. "/" .. suite.region .. "/" .. suite.service .. "/aws4_request"
      assert.equal(case.signature, sigv4.signature(key, suite.at, scope, canonical))
    end)
  end

  it("covers the query sorted by name, then by value, each encoded in one way", function()
    assert.equal("", sigv4.canonical_query(nil))
    assert.equal("a=&b=1&b=2&b%20=3", sigv4.canonical_query("b%20=3&b=2&b=1&a"))
    assert.equal("a=%2A%3A%2F~-_.&k=%E1%88%B4", sigv4.canonical_query("k=%e1%88%b4&a=*:/~-_."))
    assert.is_nil((sigv4.canonical_query("a=%zz")))
  end)

  it("covers the path encoded twice, but once for s3", function()
    assert.equal("/a%2520b", sigv4.canonical_path("/a%20b", "service"))
    assert.equal("/a%20b", sigv4.canonical_path("/a%20b", "s3"))
    assert.equal("/a%3Ab", sigv4.canonical_path("/a:b", "service"))
    assert.equal("/a%3Ab/", sigv4.canonical_path("/a:b/", "s3"))
    assert.equal("/a%2Fb", sigv4.canonical_path("/a%2fb", "s3"))
    assert.equal("/%25E1%2588%25B4", sigv4.canonical_path("/%E1%88%B4", "service"))
  end)

  it("covers the path without dots and empty segments, but as it is for s3", function()
    for path, canonical in pairs({
      ["/"] = "/", ["//"] = "/", ["/./"] = "/", ["/a/.."] = "/", ["/a/../../b"] = "/b", ["//a//"] = "/a/",
      ["/a/./b/"] = "/a/b/", ["/a/b/.."] = "/a/", ["/."] = "/",
    }) do
      assert.equal(canonical, sigv4.canonical_path(path, "service"), path)
    end
    assert.equal("//a//./b", sigv4.canonical_path("//a//./b", "s3"))
  end)

  it("covers header values trimmed, runs of spaces as one", function()
    local canonical, names = sigv4.canonical_request({
      method = "GET", path = "/", query = "", body_digest = "x",
      headers = { ["my-header1"] = "  a   b   c ", ["my-header"] = '"a   b"' },
    })
    assert.equal('GET\n/\n\nmy-header:"a b"\nmy-header1:a b c\n\nmy-header;my-header1\nx', canonical)
    assert.equal("my-header;my-header1", names)
  end)
end)


describe("sigv4", function()
  it("signs a request as it was sent, by the virtual clock", function()
    local it = integration("service")
    it.call("read", { path = "/a/{name}", params = { name = "x y:z" }, query = { b = "2 2", a = { "z", "y" }, c = "" },
      headers = { ["X-Amz-Target"] = "  A   b ", ["X-Other"] = "not signed" } })
    local request = it.requests[1]
    assert.equal("/a/x%20y%3Az?a=y&a=z&b=2%202&c=", request.target)
    assert.equal(time.strftime("%Y%m%dT%H%M%SZ"), request.headers["x-amz-date"])
    assert.equal(SECRETS.session_token, request.headers["x-amz-security-token"])
    assert.is_nil(request.headers["x-amz-content-sha256"])
    assert.equal("host;x-amz-date;x-amz-security-token;x-amz-target", assert_signed(request, "service"))
  end)

  it("signs for s3 the body's digest, and sends the path that it signed", function()
    local it = integration("s3")
    it.call("write", { body = "text" })
    local request = it.requests[1]
    assert.equal(hex_digest("text"), request.headers["x-amz-content-sha256"])
    assert.equal("content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token", assert_signed(request, "s3"))
    it.call("read", { path = "/a:b/%7Ec/d%2fe?versions&x=a+b" })
    assert.equal("/a%3Ab/~c/d%2Fe?versions=&x=a%20b", it.requests[2].target)
    assert_signed(it.requests[2], "s3")
  end)

  it("signs with the key of the day, and of the secret as it is", function()
    local it = integration("service")
    local first = time.strftime("%Y%m%d")
    it.call("read", { path = "/" })
    t.advance(86400)
    it.call("read", { path = "/" })
    assert.is_truthy(it.requests[1].headers.authorization:find(ACCESS_KEY .. "/" .. first, 1, true))
    assert.is_nil(it.requests[2].headers.authorization:find(ACCESS_KEY .. "/" .. first, 1, true))
    assert_signed(it.requests[2], "service")
    secrets.put(it.generation.integrations.store, "secret_key", "another-key-0123456789", "environment")
    it.call("read", { path = "/" })
    assert.are_not.equal(expected_signature(it.requests[3], "us-east-1", "service"),
      it.requests[3].headers.authorization:match("Signature=(%x+)"))
  end)

  it("signs a random request of any kind so that what came has that signature", function()
    local seed = tonumber(os.getenv("SEED")) or os.time()
    math.randomseed(seed)
    local it = integration("service")
    local function text()
      local bytes = {}
      for index = 1, math.random(1, 12) do
        bytes[index] = string.char(math.random(1, 255))
      end
      return table.concat(bytes)
    end
    for round = 1, 40 do
      local query = {}
      for _ = 1, math.random(0, 4) do
        query[text()] = { text(), text() }
      end
      it.call("read", { path = "/{a}/p" .. http.encode(text()), params = { a = text() .. "a" }, query = query })
      assert_signed(it.requests[round], "service")
    end
  end)

  it("is for the origin of base_url, and for a request that says so", function()
    local it = integration("service")
    local elsewhere = it.url:gsub("127.0.0.1", "localhost")
    it.call("read", { path = elsewhere .. "/plain" })
    assert.is_nil(it.requests[1].headers.authorization)
    assert.is_nil(it.requests[1].headers["x-amz-security-token"])
    it.call("read", { path = elsewhere .. "/signed", auth = {
      scheme = "sigv4", access_key = "access_key", secret_key = "secret_key", region = "us-east-1", service = "s3",
    } })
    assert.is_nil(it.requests[2].headers["x-amz-security-token"])
    assert_signed(it.requests[2], "s3")
  end)

  it("shows no secret and no signature in a row", function()
    local it = integration("s3")
    it.upstream("* /*", { status = 403, body = "<Error>" .. SECRETS.session_token .. "</Error>" })
    pcall(it.call, "write", { body = "text" })
    local signature = it.requests[1].headers.authorization:match("Signature=(%x+)")
    for column, value in pairs(it.logs()[1]) do
      for _, secret in ipairs({ SECRET_KEY, SECRETS.session_token, signature }) do
        assert.is_nil(tostring(value):find(secret, 1, true), column)
      end
    end
  end)
end)
