local crypto = require "tide.crypto"
local keys = require "spec.support.key_pairs"

-- RFC 8032, 7.1, tests 1 to 3: private key, public key, message, signature.
local ED25519 = {
  { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
      .. "d25bf5f0595bbe24655141438e7a100b" },
  { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
      .. "387b2eaeb4302aeeb00d291612bb0c00" },
  { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
      .. "4a7c15e9716ed28dc027beceea1ec40a" },
}

-- RFC 7515, A.2 and A.3.
local PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
local RS256 = {
  data = "eyJhbGciOiJSUzI1NiJ9." .. PAYLOAD,
  signature = crypto.from_base64url("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7"
    .. "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
    .. "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"
    .. "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
    .. "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"
    .. "p0igcN_IoypGlUPQGe77Rw"),
}
local ES256 = {
  data = "eyJhbGciOiJFUzI1NiJ9." .. PAYLOAD,
  signature = crypto.from_base64url("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
    .. "pmWQxfKTUJqPP3-Kg6NU1Q"),
}

-- SendGrid's example of a signed event.
local SENDGRID = {
  key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNN"
    .. "RaINXvVpiglSI8eNEc6wEA3F+g==",
  data = "1600112502"
    .. '[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    .. '"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    .. '"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    .. '"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]' .. "\r\n",
  signature = crypto.from_base64("MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAb"
    .. "PIqHh89M15TluLtEZtM="),
}

-- The Ed25519 example of Standard Webhooks (whpk_…, v1a,…).
local WEBHOOK = {
  key = "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
  data = 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}',
  signature = crypto.from_base64("hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TB"
    .. "Ag=="),
}


local function der_of(pem)
  local text = pem:gsub("%-%-%-%-%-[^\n]*\n", ""):gsub("\n", "")
  return crypto.from_base64(text), text
end


local function with_other_bit(bytes, index)
  return bytes:sub(1, index - 1) .. string.char(bytes:byte(index) ~ 1) .. bytes:sub(index + 1)
end


local function refusal(...)
  local result, message, code = ...
  assert.is_nil(result)
  assert.equal("invalid_key", code)
  return message
end


describe("a signature", function()
  it("of Ed25519 is that of RFC 8032", function()
    for _, case in ipairs(ED25519) do
      local private, public = crypto.from_hex(case[1]), crypto.from_hex(case[2])
      local message, signature = crypto.from_hex(case[3]), crypto.from_hex(case[4])
      assert.equal(signature, crypto.sign("ed25519", private, message))
      assert.is_true(crypto.verify("ed25519", public, message, signature))
      assert.is_true(crypto.verify("ed25519", crypto.base64(public), message, signature))
      assert.is_false(crypto.verify("ed25519", public, message .. "x", signature))
    end
    local first = crypto.from_hex(ED25519[1][4])
    assert.equal(first, crypto.sign("ed25519", keys.ed25519_private, ""))
    assert.is_true(crypto.verify("ed25519", keys.ed25519_public, "", first))
  end)

  it("of Ed25519 is that of Standard Webhooks", function()
    assert.is_true(crypto.verify("ed25519", WEBHOOK.key, WEBHOOK.data, WEBHOOK.signature))
  end)

  it("of RSA is that of RFC 7515", function()
    assert.equal(RS256.signature, crypto.sign("rsa-sha256", keys.rsa_private, RS256.data))
    assert.is_true(crypto.verify("rsa-sha256", keys.rsa_public, RS256.data, RS256.signature))
  end)

  it("of ES256 is r and s, as in RFC 7515", function()
    assert.is_true(crypto.verify("es256", keys.ec_public, ES256.data, ES256.signature))
    local own = crypto.sign("es256", keys.ec_private, ES256.data)
    assert.equal(64, #own)
    assert.is_true(crypto.verify("es256", keys.ec_public, ES256.data, own))
    assert.is_false(crypto.verify("ecdsa-sha256", keys.ec_public, ES256.data, own))
  end)

  it("of ECDSA is DER, verified with a key in base64 as SendGrid gives it", function()
    assert.is_true(crypto.verify("ecdsa-sha256", SENDGRID.key, SENDGRID.data, SENDGRID.signature))
    assert.is_false(crypto.verify("ecdsa-sha256", SENDGRID.key, SENDGRID.data:sub(1, -3), SENDGRID.signature))
    local own = crypto.sign("ecdsa-sha256", keys.p384_private, "text")
    assert.is_true(crypto.verify("ecdsa-sha256", keys.p384_public, "text", own))
    assert.is_false(crypto.verify("es256", keys.ec_public, "text", own))
  end)

  it("of RSA with PSS is made and verified, with a salt of any length", function()
    local own = crypto.sign("rsa-pss-sha256", keys.rsa_private, "text")
    assert.is_true(crypto.verify("rsa-pss-sha256", keys.rsa_public, "text", own))
    assert.are_not.equal(own, crypto.sign("rsa-pss-sha256", keys.rsa_private, "text"))
    assert.is_true(crypto.verify("rsa-pss-sha256", keys.rsa_public, "old", crypto.from_base64(keys.rsa_pss_signature)))
    assert.is_false(crypto.verify("rsa-sha256", keys.rsa_public, "text", own))
    assert.is_false(crypto.verify("rsa-pss-sha256", keys.rsa_public, RS256.data, RS256.signature))
  end)

  it("of RSA with SHA-1 is verified, never made", function()
    local signature = crypto.from_base64(keys.rsa_sha1_signature)
    assert.is_true(crypto.verify("rsa-sha1", keys.rsa_certificate, "old", signature))
    assert.is_false(crypto.verify("rsa-sha1", keys.rsa_certificate, "new", signature))
    assert.is_false(crypto.verify("rsa-sha256", keys.rsa_certificate, "old", signature))
    assert.has_error(function() crypto.sign("rsa-sha1", keys.rsa_private, "old") end,
      "bad argument #1 to 'sign' ('rsa-sha1' is for verification only)")
  end)

  it("does not match when a bit of it, or of the data, is another", function()
    for index = 1, #ES256.signature do
      assert.is_false(crypto.verify("es256", keys.ec_public, ES256.data, with_other_bit(ES256.signature, index)))
    end
    for index = 1, #SENDGRID.signature do
      local other = with_other_bit(SENDGRID.signature, index)
      assert.is_false(crypto.verify("ecdsa-sha256", SENDGRID.key, SENDGRID.data, other))
    end
    for index = 1, #RS256.signature, 16 do
      assert.is_false(crypto.verify("rsa-sha256", keys.rsa_public, RS256.data, with_other_bit(RS256.signature, index)))
    end
    for index = 1, #WEBHOOK.data do
      assert.is_false(crypto.verify("ed25519", WEBHOOK.key, with_other_bit(WEBHOOK.data, index), WEBHOOK.signature))
    end
  end)

  it("that is malformed does not match", function()
    local zero = ("\0"):rep(64)
    for _, signature in ipairs({ "", "x", zero, zero:sub(2), zero .. "\0", ("\xff"):rep(64), ("\xff"):rep(10000) }) do
      assert.is_false(crypto.verify("es256", keys.ec_public, "text", signature))
      assert.is_false(crypto.verify("ecdsa-sha256", keys.ec_public, "text", signature))
      assert.is_false(crypto.verify("ed25519", keys.ed25519_public, "text", signature))
      assert.is_false(crypto.verify("rsa-sha256", keys.rsa_public, "text", signature))
      assert.is_false(crypto.verify("rsa-pss-sha256", keys.rsa_public, "text", signature))
    end
    assert.is_false(crypto.verify("ecdsa-sha256", SENDGRID.key, SENDGRID.data, SENDGRID.signature .. "\0"))
  end)
end)


describe("a key", function()
  it("that verifies is PEM, a certificate, DER, or base64 of DER", function()
    local der, base64 = der_of(keys.rsa_public)
    for _, key in ipairs({ keys.rsa_public, keys.rsa_certificate, der, base64, "\n\n" .. keys.rsa_public .. "\n" }) do
      assert.is_true(crypto.verify("rsa-sha256", key, RS256.data, RS256.signature))
    end
  end)

  it("that cannot be read is refused, without a word of it", function()
    local der = der_of(keys.rsa_public)
    local broken = keys.rsa_public:gsub("ofgW", "zzzz"):gsub("MIIB", "AAAA")
    for _, key in ipairs({ "", "nonsense", broken, der .. "x", der:sub(1, -2), "-----BEGIN PUBLIC KEY-----\n",
      ("A"):rep(20000), ("\0"):rep(31), ED25519[1][2] }) do
      for _, algorithm in ipairs({ "rsa-sha256", "es256", "ed25519" }) do
        local message = refusal(crypto.verify(algorithm, key, "text", "x"))
        assert.is_nil(message:find(key ~= "" and key:sub(1, 8) or "\0", 1, true))
        refusal(crypto.sign(algorithm, key, "text"))
      end
    end
  end)

  it("under a password is refused, nobody being asked for it", function()
    local message = refusal(crypto.sign("es256", keys.encrypted_private, "text"))
    assert.is_truthy(message:find("without password", 1, true))
  end)

  it("of another kind is refused, saying which is needed", function()
    local function needs(words, ...)
      local message = refusal(...)
      assert.is_truthy(message:find(words, 1, true), message)
    end
    needs("Ed25519", crypto.verify("ed25519", keys.ec_public, "text", "x"))
    needs("RSA", crypto.verify("rsa-sha256", keys.ec_public, "text", "x"))
    needs("RSA", crypto.sign("rsa-sha256", keys.ed25519_private, "text"))
    needs("P-256", crypto.verify("es256", keys.p384_public, "text", "x"))
    needs("P-256", crypto.sign("es256", keys.rsa_private, "text"))
    needs("P-521", crypto.verify("ecdsa-sha256", keys.secp256k1_public, "text", "x"))
  end)

  it("of RSA that is short verifies, but does not sign", function()
    local signature = crypto.from_base64(keys.short_signature)
    assert.is_true(crypto.verify("rsa-sha256", keys.short_public, "old", signature))
    assert.is_truthy(refusal(crypto.sign("rsa-sha256", keys.short_private, "old")):find("2048", 1, true))
  end)

  it("that is public does not sign", function()
    refusal(crypto.sign("rsa-sha256", keys.rsa_public, "text"))
    refusal(crypto.sign("es256", keys.ec_public, "text"))
  end)

  it("of an unknown algorithm is the caller's mistake", function()
    assert.has_error(function() crypto.verify("rsa-md5", keys.rsa_public, "text", "x") end)
    assert.has_error(function() crypto.sign("es256", keys.ec_private) end)
    assert.has_error(function() crypto.verify("es256", keys.ec_public, "text") end)
  end)
end)
