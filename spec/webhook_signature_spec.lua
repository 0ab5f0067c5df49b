local crypto = require "tide.crypto"
local json = require "tide.json"
local signatures = require "tide.webhook.signatures"
local vectors = require "spec.support.webhook_vectors"


local function bind(signature)
  assert.same({}, (signatures.check(signature)))
  return signatures.bind(signature, "acme")
end


local function verify(vector, changes, secrets, now)
  return bind(vector.signature).verify(vectors.request(vector, changes), secrets or vectors.secrets(vector.secret),
    now or vector.now)
end


-- Refused, with a reason that tells neither secret nor signature.
local function refused(vector, changes, secrets, now)
  local id, reason = verify(vector, changes, secrets, now)
  assert.is_nil(id)
  assert.equal("string", type(reason))
  assert.is_nil(reason:find(vector.secret, 1, true))
  local value = vector.carrier and vector.headers[vector.carrier]
  assert.is_nil(value and reason:find(value:sub(#vector.prefix + 1), 1, true))
  return reason
end


local function with_carrier(vector, value)
  return { headers = { [vector.carrier] = value } }
end


local function bare(vector)
  return vector.headers[vector.carrier]:sub(#vector.prefix + 1)
end


local function each(condition, run)
  local count = 0
  for index, vector in ipairs(vectors.list) do
    if condition(vector) then
      count = count + 1
      run(vector, ("%s (vector %d)"):format(vector.name, index))
    end
  end
  assert.is_true(count > 0)
end


local function all() return true end
local function has_carrier(vector) return vector.carrier ~= nil end
local function covers_body(vector) return vector.signs ~= false end


describe("webhook signatures", function()
  each(all, function(vector, label)
    it("accept the published vector of " .. label, function()
      local id, reason = verify(vector)
      assert.equal("webhook_secret", id, reason)
    end)


    it("know the previous secret of " .. label .. " while it is active", function()
      local secrets = vectors.secrets(vector.other_secret, vector.secret)
      assert.equal("webhook_secret:previous", (verify(vector, nil, secrets)))
    end)


    it("refuse " .. label .. " under another secret, or under none", function()
      refused(vector, nil, vectors.secrets(vector.other_secret))
      refused(vector, nil, { secret = {} })
      refused(vector, nil, vectors.secrets(""))
    end)
  end)


  each(covers_body, function(vector, label)
    it("refuse " .. label .. " when a byte of its body is another", function()
      for _, at in ipairs({ 1, #vector.body // 2 + 1, #vector.body }) do
        local byte = string.char(vector.body:byte(at) ~ 1)
        refused(vector, { body = vector.body:sub(1, at - 1) .. byte .. vector.body:sub(at + 1) })
      end
      refused(vector, { body = vector.body .. "\n" })
      refused(vector, { body = vector.body:sub(1, -2) })
      refused(vector, { body = "" })
    end)


    local value = json.decode(vector.body)
    if value then
      it("refuse " .. label .. " when its JSON was written anew", function()
        refused(vector, { body = json.encode(value, { pretty = true }) })
      end)
    end
  end)


  each(has_carrier, function(vector, label)
    it("refuse " .. label .. " without its header, or when that is cut or garbled", function()
      local text = bare(vector)
      assert.truthy(refused(vector, with_carrier(vector, false)):find("missing", 1, true))
      for _, value in ipairs({
        "", " ", ",", text:sub(1, -5), text:sub(1, 8), "****" .. text:sub(5), text .. "AAAA", ("A"):rep(5000), "\0\255",
      }) do
        refused(vector, with_carrier(vector, vector.prefix .. value))
      end
      refused(vector, with_carrier(vector, ""))
    end)


    if vector.prefix ~= "" then
      it("refuse " .. label .. " in another version", function()
        refused(vector, with_carrier(vector, "v9:" .. bare(vector)))
        refused(vector, with_carrier(vector, "v9=" .. bare(vector)))
        if vector.name ~= "toss" then
          refused(vector, with_carrier(vector, "v9," .. bare(vector)))
          refused(vector, with_carrier(vector, bare(vector)))
        end
      end)
    end
  end)


  each(function(vector) return vector.encoding == "hex" end, function(vector, label)
    it("accept upper case in " .. label, function()
      assert.equal("webhook_secret", (verify(vector, with_carrier(vector, vector.prefix .. bare(vector):upper()))))
    end)
  end)


  each(function(vector) return vector.is_list end, function(vector, label)
    it("find the right one among several in " .. label, function()
      local text = bare(vector)
      local wrong = (text:sub(1, 1) == "a" and "b" or "a") .. text:sub(2)
      local joint = vector.joint or ", " .. vector.prefix
      joint = vector.joint == " " and " " .. vector.prefix or joint
      local value = vector.prefix .. wrong .. joint .. text
      assert.equal("webhook_secret", (verify(vector, with_carrier(vector, value))))
      refused(vector, with_carrier(vector, vector.prefix .. wrong .. joint .. wrong))
      refused(vector, with_carrier(vector, vector.prefix .. wrong .. (joint .. text):rep(40)))
    end)
  end)


  each(function(vector) return vector.stamp ~= nil end, function(vector, label)
    it("refuse " .. label .. " without a time-stamp that can be read", function()
      for _, value in ipairs({ "", "x", "-1", "1e9", "0x10", " 1614265330", ("9"):rep(400), "1614265330.5", "\0" }) do
        refused(vector, { headers = { [vector.stamp] = value } })
      end
      assert.truthy(refused(vector, { headers = { [vector.stamp] = false } }):find("missing", 1, true))
    end)
  end)


  each(function(vector) return vector.stamp or vector.name == "stripe" or vector.name == "mailgun" end,
    function(vector, label)
      it("hold the time-stamp of " .. label .. " against the clock, both ways", function()
        assert.equal("webhook_secret", (verify(vector, nil, nil, vector.now + 300)))
        assert.equal("webhook_secret", (verify(vector, nil, nil, vector.now - 300)))
        assert.truthy(refused(vector, nil, nil, vector.now + 301.2):find("301 s old", 1, true))
        assert.truthy(refused(vector, nil, nil, vector.now - 301.2):find("301 s ahead", 1, true))
        assert.equal("webhook_secret", (verify(vector, { tolerance_seconds = 1000 }, nil, vector.now + 900)))
      end)
    end)


  it("refuse a time-stamp that was moved", function()
    each(function(vector) return vector.stamp ~= nil end, function(vector)
      local moved = vector.name == "toss" and "2024-09-05T12:19:22+09:00" or tostring(vector.now + 1)
      refused(vector, { headers = { [vector.stamp] = moved } })
    end)
  end)


  it("compare in constant time, bytes of equal length", function()
    local equal, lengths = crypto.equal, {}
    local guard <close> = setmetatable({}, { __close = function() crypto.equal = equal end })
    crypto.equal = function(one, other)
      lengths[#lengths + 1] = #one == #other
      return equal(one, other)
    end
    each(function(vector) return not vector.private or vector.private == vector.secret end, function(vector)
      if vector.signature ~= "sendgrid" then
        lengths = {}
        verify(vector)
        assert.is_true(#lengths > 0, vector.name)
        for _, is_equal in ipairs(lengths) do
          assert.is_true(is_equal, vector.name)
        end
      end
    end)
  end)
end)
