local t = require "tide.test"
local crypto = require "tide.crypto"
local errors = require "tide.errors"
local json = require "tide.json"

local TOKEN_PATH = "/nice/oauth/v1.0/accesstoken"
local COMPANY_PATH = "/nice/bizinfo/v1.0/custom/bzmaininfo01/certification"
local SECRETS = {
  app_key = "0123456789abcdef-app-key", app_secret = "fedcba9876543210-app-secret",
  webhook_secret = "00112233445566778899-webhook",
}

local VALID = {
  "124-81-00998", "220-81-62517", "120-81-47521", "107-86-24874", "120-88-00767", "101-81-09147",
  "120-82-00052", "107-86-14075", "126-81-03725", "102-81-42945", "506-81-00017", "120-87-65763",
  "375-87-00088", "120-88-01280", "411-86-01799", "123-45-67891",
}
local WRONG_DIGIT = {
  "123-45-67890", "124-81-00997", "124-81-00989", "220-81-62571", "111-11-11111", "135-79-24680",
}
local IMPOSSIBLE = { "000-00-00000", "100-86-08983", "211-00-08983", "211-86-00003" }


-- The vendor's own example, for any number.
local function answer_for(number, changes)
  local body = {
    bizNo = number, corpNo = "1101112629347", cmpNm = "㈜나이스디앤비", cmpEnm = "NICE D&B CO., Ltd.",
    ceoNm = "홍길동", empCnt = 300, empAccYm = "202403", indCd1 = "63991",
    indNm = "데이터베이스 및 온라인정보 제공업", cmpSclNm = "중견기업", cmpTypNm = "코스닥등록",
    bzcndNm = "서비스", estbDate = "20021012", emlAdr = json.null, telNo = "0221222500",
    faxTelNo = "0221222591", zip = "04117", addr1 = "서울특별시 마포구 마포대로 217", addr2 = "(아현동)",
    stt = json.null, sttYmd = json.null, upYmd = json.null, criGrd = "A2", crDate = "20240615",
    sttDate = "20231231", salesAmt = 57683210, opprIcAmt = 9939606, shEqAmt = 74591808,
    debtAmt = 12689516, assetAmt = 87281324,
  }
  for name, value in pairs(changes or {}) do
    body[name] = value
  end
  return { json = { dataHeader = { resCd = "0", msgCd = json.null, langCd = "ko" }, dataBody = body } }
end


local function company(changes)
  return function(request)
    return answer_for(request.json.bizNo, changes)
  end
end


local function refusal(status, code)
  return { status = status, json = { errorCode = code, errorMsg = "…" } }
end


-- Without the cache, unless a test is about it: each call reaches the upstream.
local function nice(options)
  options = options or {}
  local config = options.config or {}
  if config.cache_enabled == nil then
    config.cache_enabled = false
  end
  local it = t.integration("nice_dnb", { secrets = SECRETS, config = config })
  it.upstream("POST " .. TOKEN_PATH, options.token or { json = {
    accessToken = "07984236-4402-4142-8b74-ccd43bb7f8dc", tokenType = "Bearer", expiresIn = 3600, scope = "oob",
  } })
  it.upstream("POST " .. COMPANY_PATH, options.company or company(options.changes))
  return it
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


local function count(it, path)
  local total = 0
  for _, request in ipairs(it.requests) do
    total = total + (request.path == path and 1 or 0)
  end
  return total
end


describe("nice_dnb search_company", function()
  it("property 3: a valid number gives the company, or a valid error", function()
    local it = nice()
    for _, number in ipairs(VALID) do
      local digits = number:gsub("-", "")
      assert.equal(digits, (it.call("search_company", { business_number = number })).business_number)
      assert.equal(digits, (it.call("search_company", { business_number = digits })).business_number)
    end
    it.upstream("POST " .. COMPANY_PATH, { json = { dataHeader = { resCd = "0" }, dataBody = json.null } })
    local err = failure(it.call, "search_company", { business_number = VALID[1] })
    assert.equal("not_found", err.code)
  end)

  it("asks with the token and the ten digits", function()
    local it = nice()
    it.call("search_company", { business_number = "107-86-24874" })
    local token, request = it.requests[1], it.requests[2]
    assert.equal(TOKEN_PATH, token.path)
    assert.equal(SECRETS.app_key, token.json.appKey)
    assert.equal(SECRETS.app_secret, token.json.appSecret)
    assert.equal("client_credentials", token.json.grantType)
    assert.equal("oob", token.json.scope)
    assert.is_nil(token.headers.authorization)
    assert.equal(COMPANY_PATH, request.path)
    assert.equal("Bearer 07984236-4402-4142-8b74-ccd43bb7f8dc", request.headers.authorization)
    assert.same({ bizNo = "1078624874" }, request.json)
  end)

  it("gives clear names, ISO dates and amounts in won", function()
    local data = nice().call("search_company", { business_number = "107-86-24874" })
    assert.equal("㈜나이스디앤비", data.name)
    assert.equal("NICE D&B CO., Ltd.", data.name_english)
    assert.equal("홍길동", data.representative)
    assert.equal("1101112629347", data.corporate_number)
    assert.equal("2002-10-12", data.established_on)
    assert.equal("2024-06-15", data.credit_grade_on)
    assert.equal("2024-03", data.employees_as_of)
    assert.equal(300, data.employees)
    assert.equal("A2", data.credit_grade)
    assert.equal("KRW", data.currency)
    assert.equal(57683210000, data.sales)
    assert.equal("integer", math.type(data.sales))
    assert.equal(9939606000, data.operating_profit)
    assert.equal(87281324000, data.assets)
    assert.is_nil(data.email)
    assert.equal(57683210, data.raw.salesAmt)
  end)

  it("accepts the other spelling of the operating profit", function()
    local it = nice({ changes = { opprIcAmt = json.null, oprIcAmt = 5 } })
    assert.equal(5000, (it.call("search_company", { business_number = VALID[1] })).operating_profit)
  end)

  it("tells whether the company operates", function()
    local it = nice()
    for value, status in pairs({ ["2"] = "suspended", ["3"] = "closed", ["9"] = "unknown" }) do
      it.upstream("POST " .. COMPANY_PATH, company({ stt = value, sttYmd = "20240101" }))
      local data = it.call("search_company", { business_number = VALID[1] })
      assert.equal(status, data.status)
      assert.equal("2024-01-01", data.status_since)
    end
    it.upstream("POST " .. COMPANY_PATH, company())
    assert.equal("operating", (it.call("search_company", { business_number = VALID[1] })).status)
  end)

  it("refuses a number whose check digit is wrong, before anything is sent", function()
    local it = nice()
    for _, number in ipairs(WRONG_DIGIT) do
      local err = failure(it.call, "search_company", { business_number = number })
      assert.equal("invalid_input", err.code)
      assert.is_truthy(err.message:find("check digit", 1, true))
      assert.equal("#/business_number", errors.problem(err).errors[1].pointer)
    end
    assert.equal(0, #it.requests)
  end)

  it("leaves the check digit to the upstream where strict_checksum is off", function()
    local it = nice({ config = { extra_config = { strict_checksum = false } } })
    assert.equal("1248100997", (it.call("search_company", { business_number = "1248100997" })).business_number)
  end)

  it("refuses numbers that cannot exist, whatever their check digit", function()
    for _, strict in ipairs({ true, false }) do
      local it = nice({ config = { extra_config = { strict_checksum = strict } } })
      for _, number in ipairs(IMPOSSIBLE) do
        assert.equal("invalid_input", failure(it.call, "search_company", { business_number = number }).code)
      end
      it.close()
    end
  end)

  it("refuses what is no number, with a pointer", function()
    local it = nice()
    for _, input in ipairs({
      {}, { business_number = 1248100998 }, { business_number = "12481009" }, { business_number = "124810099x" },
      { business_number = "124-81-00998", other = 1 },
    }) do
      local err = failure(it.call, "search_company", input)
      assert.equal("invalid_input", err.code)
      assert.is_truthy(errors.problem(err).errors[1].pointer)
    end
    assert.equal(0, #it.requests)
  end)

  it("takes a token lifetime that comes as text", function()
    local it = nice({ token = { json = { accessToken = "token-0123456789", expiresIn = "120" } } })
    it.call("search_company", { business_number = VALID[1] })
    t.advance(50)
    it.call("search_company", { business_number = VALID[1] })
    assert.equal(1, count(it, TOKEN_PATH))
    t.advance(20)
    it.call("search_company", { business_number = VALID[1] })
    assert.equal(2, count(it, TOKEN_PATH))
  end)

  it("fetches a new token and asks again when the 503 means that the old one expired", function()
    local it = nice()
    it.upstream("POST " .. COMPANY_PATH, { refusal(503, "NOAG1002"), answer_for("1248100998") })
    local _, meta = it.call("search_company", { business_number = "1248100998" })
    assert.equal(1, meta.attempts)
    assert.equal(2, count(it, TOKEN_PATH))
    assert.equal(2, count(it, COMPANY_PATH))
  end)

  it("asks by GET where the contract wants that", function()
    local it = nice()
    it.upstream("POST " .. COMPANY_PATH, refusal(405, "NOAG0002"))
    it.upstream("GET " .. COMPANY_PATH, function(request) return answer_for(request.query.bizNo) end)
    assert.equal("1248100998", (it.call("search_company", { business_number = "1248100998" })).business_number)
  end)

  it("maps the vendor's codes, whatever their status", function()
    local expected = {
      { 403, "NOAG0001", "upstream_auth" }, { 412, "NOAG0003", "rejected" }, { 412, "NOAG0101", "rejected" },
      { 401, "NOAG1001", "upstream_auth" }, { 403, "NOAG1101", "upstream_auth" }, { 403, "NOAG1102", "upstream_auth" },
      { 403, "NOAG1204", "upstream_auth" }, { 403, "NOAG1201", "rate_limited" }, { 403, "NOAG1203", "rejected" },
      { 403, "NOAG1205", "rejected" }, { 400, "NOAG1206", "rejected" }, { 404, "NOAG1301", "rejected" },
    }
    local it = nice()
    for _, case in ipairs(expected) do
      it.upstream("POST " .. COMPANY_PATH, refusal(case[1], case[2]))
      local before = count(it, COMPANY_PATH)
      local err = failure(it.call, "search_company", { business_number = VALID[1] })
      assert.equal(case[3], err.code, case[2])
      assert.equal(1, err.attempts, case[2])
      assert.equal(before + 1, count(it, COMPANY_PATH), case[2])
    end
  end)

  it("tries again where the vendor's code says that it may pass", function()
    for _, case in ipairs({ { 403, "NOAG1202" }, { 500, "NOAG2201" }, { 500, "NOAG2302" }, { 503, "NOAG2301" } }) do
      local it = nice()
      it.upstream("POST " .. COMPANY_PATH, { refusal(case[1], case[2]), answer_for("1248100998") })
      local _, meta = it.call("search_company", { business_number = "1248100998" })
      assert.equal(2, meta.attempts, case[2])
      it.close()
    end
  end)

  it("takes a 200 whose resCd is not 0 for a failure", function()
    local it = nice({ config = { max_retries = 0 } })
    it.upstream("POST " .. COMPANY_PATH, { json = { dataHeader = { resCd = "2", msgCd = "YA0300001" } } })
    local err = failure(it.call, "search_company", { business_number = VALID[1] })
    assert.equal("rejected", err.code)
    assert.is_truthy(err.message:find("YA0300001", 1, true))
    it.upstream("POST " .. COMPANY_PATH, { json = { dataHeader = { resCd = "1" } } })
    assert.equal("upstream_error", failure(it.call, "search_company", { business_number = VALID[1] }).code)
  end)

  it("takes a page of HTML for an upstream error", function()
    local it = nice({ config = { max_retries = 0 } })
    it.upstream("POST " .. COMPANY_PATH, { body = "<html>maintenance</html>" })
    assert.equal("upstream_error", failure(it.call, "search_company", { business_number = VALID[1] }).code)
  end)

  it("leaves no secret in its rows", function()
    local it = nice()
    it.call("search_company", { business_number = VALID[1] })
    for column, value in pairs(it.logs()[1]) do
      for _, secret in pairs({ SECRETS.app_key, SECRETS.app_secret, "07984236-4402-4142-8b74-ccd43bb7f8dc" }) do
        assert.is_nil(tostring(value):find(secret, 1, true), column)
      end
    end
  end)

  it("invents in mock mode a company that the number alone decides", function()
    local it = nice({ config = { is_mock_mode = true } })
    local first = it.call("search_company", { business_number = "124-81-00998" })
    local again = it.call("search_company", { business_number = "1248100998" })
    local other = it.call("search_company", { business_number = "220-81-62517" })
    assert.same(first, again)
    assert.equal("1248100998", first.business_number)
    assert.not_same(first.raw, other.raw)
    assert.is_truthy(first.established_on:match("^%d%d%d%d%-%d%d%-%d%d$"))
    assert.equal(first.assets, first.equity + first.debt)
    assert.equal(0, #it.requests)
  end)

  it("refuses a wrong check digit in mock mode too", function()
    local it = nice({ config = { is_mock_mode = true } })
    assert.equal("invalid_input", failure(it.call, "search_company", { business_number = "1248100997" }).code)
  end)
end)


describe("nice_dnb and the cache", function()
  it("property 5: the same request within 24 hours is answered from the cache", function()
    local it = nice({ config = { cache_enabled = true } })
    local seed = os.time()
    math.randomseed(seed)
    for round = 1, 20 do
      local number = VALID[math.random(#VALID)]
      local first, before = it.call("search_company", { business_number = number }), count(it, COMPANY_PATH)
      t.advance(math.random(0, 3600))
      local again, meta = it.call("search_company", { business_number = (number:gsub("-", "")) })
      assert.same(first, again, "seed " .. seed .. ", round " .. round)
      assert.is_true(meta.from_cache, "seed " .. seed .. ", round " .. round)
      assert.equal(before, count(it, COMPANY_PATH))
    end
    t.advance(86400)
    local _, meta = it.call("search_company", { business_number = VALID[1] })
    assert.is_false(meta.from_cache)
  end)

  it("property 6: when it fails, what was kept is given, and said to be stale", function()
    local it = nice({ config = { cache_enabled = true, max_retries = 0 } })
    local data = it.call("search_company", { business_number = VALID[1] })
    t.advance(90000)
    for _, answer in ipairs({ { status = 500, json = {} }, { status = 502, body = "x" }, { close = true },
      { delay = 100, json = {} }, { status = 200, body = "{" } }) do
      it.upstream("POST " .. COMPANY_PATH, answer)
      local kept, meta = it.call("search_company", { business_number = VALID[1] })
      assert.same(data, kept)
      assert.is_true(meta.stale)
      assert.is_true(meta.from_cache)
      assert.is_true(meta.age_seconds >= 90000)
      assert.is_string(meta.error.code)
    end
  end)
end)


describe("nice_dnb search_representative", function()
  it("property 4: a valid name and number give a verdict, or a valid error", function()
    local it = nice()
    for _, number in ipairs(VALID) do
      local data = it.call("search_representative", { name = "홍길동", business_number = number })
      assert.is_true(data.matched)
      assert.same({ "홍길동" }, data.ceo_names)
      assert.equal((number:gsub("-", "")), data.business_number)
      assert.equal(data.business_number, data.company.business_number)
    end
    assert.is_false((it.call("search_representative", { name = "김철수", business_number = VALID[1] })).matched)
    it.upstream("POST " .. COMPANY_PATH, { json = { dataHeader = { resCd = "0" } } })
    local err = failure(it.call, "search_representative", { name = "홍길동", business_number = VALID[1] })
    assert.equal("not_found", err.code)
  end)

  it("finds one of several representatives", function()
    local it = nice()
    for value, names in pairs({
      ["홍길동,김철수"] = { "홍길동", "김철수" }, ["홍길동 / 김 철수"] = { "홍길동", "김 철수" },
      ["홍길동·김철수"] = { "홍길동", "김철수" }, ["홍길동 외 1명"] = { "홍길동" },
    }) do
      it.upstream("POST " .. COMPANY_PATH, company({ ceoNm = value }))
      local data = it.call("search_representative", { name = "홍길동", business_number = VALID[1] })
      assert.same(names, data.ceo_names)
      assert.is_true(data.matched)
      if #names == 2 then
        assert.is_true((it.call("search_representative", { name = "김철수", business_number = VALID[1] })).matched)
      end
    end
  end)

  it("compares without regard to case, spaces and composition", function()
    local it = nice({ changes = { ceoNm = "John  Smith" } })
    assert.is_true((it.call("search_representative", { name = "JOHN SMITH", business_number = VALID[1] })).matched)
    -- The same name in decomposed jamo.
    it.upstream("POST " .. COMPANY_PATH, company({ ceoNm = "홍길동" }))
    local decomposed = "\u{1112}\u{1169}\u{11BC}\u{1100}\u{1175}\u{11AF}\u{1103}\u{1169}\u{11BC}"
    assert.is_true((it.call("search_representative", { name = decomposed, business_number = VALID[1] })).matched)
  end)

  it("answers no where the company names nobody", function()
    local it = nice({ changes = { ceoNm = json.null } })
    local data = it.call("search_representative", { name = "홍길동", business_number = VALID[1] })
    assert.is_false(data.matched)
    assert.equal("[]", json.encode(data.ceo_names))
  end)

  it("refuses a blank name, with its pointer", function()
    local err = failure(nice().call, "search_representative", { name = "  ", business_number = VALID[1] })
    assert.equal("invalid_input", err.code)
    assert.equal("#/name", errors.problem(err).errors[1].pointer)
  end)

  it("knows the mock company's representative", function()
    local it = nice({ config = { is_mock_mode = true } })
    local name = (it.call("search_company", { business_number = VALID[1] })).representative
    assert.is_true((it.call("search_representative", { name = name, business_number = VALID[1] })).matched)
    assert.is_false((it.call("search_representative", { name = "홍길동", business_number = VALID[1] })).matched)
  end)
end)


describe("nice_dnb webhooks", function()
  local EVENT = { event_id = "nice-1", event_type = "company.changed", bizNo = "1078624874" }


  local function listening(config)
    return nice({ config = config or { cache_enabled = true } })
  end


  -- EVENT with `changes`.
  local function event_with(changes)
    local event = {}
    for name, value in pairs(EVENT) do
      event[name] = value
    end
    for name, value in pairs(changes) do
      event[name] = value
    end
    return event
  end


  it("forget the cached company that has changed or closed, and no other", function()
    local it = listening()
    local function ask(number)
      return select(2, it.call("search_company", { business_number = number })).from_cache
    end
    for index, kind in ipairs({ "company.changed", "company.closed" }) do
      ask("107-86-24874")
      ask("124-81-00998")
      local event = it.webhook(nil, event_with { event_type = kind, event_id = "nice-" .. index })
      assert.same({ "completed", { business_number = "1078624874", forgotten = true } },
        { event.status, event.processing_result })
      assert.is_false(ask("107-86-24874"))
      assert.is_true(ask("124-81-00998"))
    end
  end)

  it("take the number with hyphens or as a number, and say when nothing was cached", function()
    local it = listening()
    for index, number in ipairs({ "107-86-24874", 1078624874 }) do
      local event = it.webhook(nil, event_with { event_id = "nice-" .. index, bizNo = number })
      assert.same({ business_number = "1078624874", forgotten = false }, event.processing_result)
    end
  end)

  it("read the number where the contract has it", function()
    local it = listening { cache_enabled = true, extra_config = { fields = { business_number = "businessNo" } } }
    local event = it.webhook(nil, event_with { bizNo = "x", businessNo = "1078624874" })
    assert.equal("1078624874", event.processing_result.business_number)
  end)

  it("process an event once", function()
    local it = listening()
    assert.equal("completed", it.webhook(nil, EVENT).status)
    assert.is_true(it.webhook(nil, EVENT).duplicate)
  end)

  it("fail for good where the type is unknown or no company is named", function()
    local it = listening()
    local event = it.webhook(nil, event_with { event_type = "company.renamed" })
    assert.same({ "failed", "not_found" }, { event.status, event.error_type })
    for index, number in ipairs({ json.null, "", "12", "100-86-08983", "124-81-00997", json.array() }) do
      event = it.webhook(nil, event_with { event_id = "bad-" .. index, bizNo = number })
      assert.same({ "failed", "invalid_input" }, { event.status, event.error_type })
    end
    event = it.webhook(nil, "[]", { type = "x" })
    assert.equal("failed", event.status)
  end)

  it("refuse what was changed on its way, or signed with another secret", function()
    local it = listening()
    local body = json.encode(EVENT)
    local signature = crypto.hex(crypto.hmac("sha256", SECRETS.webhook_secret, body))
    local function send(text, headers)
      return it.webhook(nil, text, { headers = headers })
    end
    assert.equal("completed", send(body, { ["X-Nice-Signature"] = signature:upper() }).status)
    for _, headers in ipairs({ { ["X-Nice-Signature"] = "" }, { ["X-Nice-Signature"] = signature:sub(1, 62) } }) do
      assert.equal("unauthorized", failure(send, body, headers).code)
    end
    local changed = body:gsub("changed", "closed")
    assert.equal("unauthorized", failure(send, changed, { ["X-Nice-Signature"] = signature }).code)
    local other = { secrets = { webhook_secret = "another-secret" } }
    assert.equal("unauthorized", failure(it.webhook, nil, EVENT, other).code)
  end)
end)
