local crypto = require "tide.crypto"


local function hmac_hex(algorithm, key, bytes)
  return crypto.hex(crypto.hmac(algorithm, key, bytes))
end


-- RFC 4231, test cases 1 to 7 (5 is truncated there): key, data, SHA-256, SHA-512.
local RFC_4231 = {
  { ("\x0b"):rep(20), "Hi There",
    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
      .. "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854" },
  { "Jefe", "what do ya want for nothing?",
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
      .. "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737" },
  { ("\xaa"):rep(20), ("\xdd"):rep(50),
    "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"
      .. "bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb" },
  { ("\xaa"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First",
    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
      .. "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598" },
}


describe("tide.crypto", function()
  it("computes the HMACs of RFC 4231", function()
    for _, case in ipairs(RFC_4231) do
      assert.equal(case[3], hmac_hex("sha256", case[1], case[2]))
      assert.equal(case[4], hmac_hex("sha512", case[1], case[2]))
    end
    assert.equal("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79", hmac_hex("sha1", "Jefe", RFC_4231[2][2]))
  end)


  it("computes digests", function()
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      crypto.hex(crypto.digest("sha256", "")))
    assert.equal("900150983cd24fb0d6963f7d28e17f72", crypto.hex(crypto.digest("md5", "abc")))
    assert.has_error(function() crypto.digest("sha3", "") end)
  end)


  it("reads and writes the vectors of RFC 4648", function()
    local vectors = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==",
      fooba = "Zm9vYmE=", foobar = "Zm9vYmFy" }
    for bytes, text in pairs(vectors) do
      assert.equal(text, crypto.base64(bytes))
      assert.equal(bytes, crypto.from_base64(text))
      local bare = text:gsub("=", "")
      assert.equal(bare, crypto.base64url(bytes))
      assert.equal(bytes, crypto.from_base64url(bare))
      assert.equal(bytes, crypto.from_base64url(text))
    end
    assert.equal("666f6f626172", crypto.hex("foobar"))
    assert.equal("foobar", crypto.from_hex("666F6f626172"))
  end)


  it("refuses encodings that are not canonical", function()
    for _, bad in ipairs { "Zg", "Zg=", "Zh==", "Zm9v\n", "Zm 9v", "====" } do
      local bytes, message, code = crypto.from_base64(bad)
      assert.is_nil(bytes)
      assert.is_string(message)
      assert.equal("invalid_encoding", code)
    end
    assert.is_nil((crypto.from_hex("abc")))
    assert.is_nil((crypto.from_hex("zz")))
    assert.is_nil((crypto.from_base64url("Zg=")))
  end)


  it("compares strings only", function()
    assert.is_true(crypto.equal("same", "same"))
    assert.is_false(crypto.equal("same", "samf"))
    assert.is_false(crypto.equal("same", "longer"))
    assert.has_error(function() crypto.equal("1", 1) end)
    assert.has_error(function() crypto.equal("1") end)
  end)


  it("makes random bytes", function()
    assert.equal(16, #crypto.random(16))
    assert.are_not.equal(crypto.random(16), crypto.random(16))
    assert.equal(65536, #crypto.random(65536))
    assert.has_error(function() crypto.random(0) end)
    assert.has_error(function() crypto.random(65537) end)
  end)


  it("seals and opens", function()
    local key = crypto.random(32)
    local sealed = crypto.seal(key, "plain \0 text", "acme/app_key")
    assert.equal(12 + 12 + 16, #sealed)
    assert.equal("plain \0 text", crypto.open(key, sealed, "acme/app_key"))
    assert.equal("", crypto.open(key, crypto.seal(key, "")))
    assert.are_not.equal(sealed, crypto.seal(key, "plain \0 text", "acme/app_key"))
  end)


  it("does not open what was changed", function()
    local key = crypto.random(32)
    local sealed = crypto.seal(key, "text", "a")
    for _, attempt in ipairs {
      { crypto.random(32), sealed, "a" },
      { key, sealed, "b" },
      { key, sealed:sub(1, -2), "a" },
      { key, "short", "a" },
    } do
      local plain, message, code = crypto.open(table.unpack(attempt))
      assert.is_nil(plain)
      assert.is_string(message)
      assert.equal("not_authentic", code)
    end
    assert.has_error(function() crypto.seal("short key", "text") end)
  end)
end)
