-- Company information by Nice D&B (나이스디앤비 Open API). The contract of a customer decides
-- which paths and fields there are: they are configuration.

local crypto = require "tide.crypto"
local fail = require "tide.fail"
local json = require "tide.json"
local text = require "tide.text"

-- The vendor's own codes; the HTTP status that comes with them misleads.
local ERRORS = {
  NOAG0001 = { "upstream_auth", "no token could be issued" },
  NOAG0003 = { "rejected", "wrong Content-Type" },
  NOAG0101 = { "rejected", "refused by the injection check" },
  NOAG1001 = { "upstream_auth", "the token is malformed" },
  NOAG1002 = { "token_expired", "the token is absent or has expired" },
  NOAG1101 = { "upstream_auth", "no permission for this service" },
  NOAG1102 = { "upstream_auth", "our address is not registered" },
  NOAG1201 = { "rate_limited", "the call quota is used up", { retryable = false } },
  NOAG1202 = { "rate_limited", "too many calls per second" },
  NOAG1203 = { "rejected", "outside the permitted hours" },
  NOAG1204 = { "upstream_auth", "no plan for this service" },
  NOAG1205 = { "rejected", "the integrity check failed" },
  NOAG1206 = { "rejected", "bad path parameter" },
  NOAG1207 = { "rejected", "decryption failed" },
  NOAG1301 = { "rejected", "there is no such service" },
  NOAG2201 = { "upstream_error", "transformation failed" },
  NOAG2202 = { "upstream_error", "transformation failed" },
  NOAG2203 = { "upstream_error", "the answer is too large" },
  NOAG2204 = { "upstream_error", "the filter failed" },
  NOAG2301 = { "upstream_error", "routing failed" },
  NOAG2302 = { "upstream_error", "the gateway failed" },
}

-- Where each member of a company comes from; `extra_config.fields` changes single ones.
local FIELDS = {
  business_number = "bizNo", corporate_number = "corpNo", name = "cmpNm", name_english = "cmpEnm",
  representative = "ceoNm", employees = "empCnt", employees_as_of = "empAccYm",
  industry_code = "indCd1", industry = "indNm", business_line = "bzcndNm",
  size_class = "cmpSclNm", listing = "cmpTypNm", established_on = "estbDate",
  email = "emlAdr", phone = "telNo", fax = "faxTelNo",
  postal_code = "zip", address = "addr1", address_detail = "addr2",
  status = "stt", status_since = "sttYmd", updated_on = "upYmd",
  credit_grade = "criGrd", credit_grade_on = "crDate", balance_sheet_on = "sttDate",
  sales = "salesAmt", operating_profit = { "opprIcAmt", "oprIcAmt" },
  equity = "shEqAmt", debt = "debtAmt", assets = "assetAmt",
}

local DATES = {
  established_on = true, status_since = true, updated_on = true, credit_grade_on = true,
  balance_sheet_on = true,
}
-- The vendor counts in thousands of won, we in won.
local AMOUNTS = {
  sales = true, operating_profit = true, equity = true, debt = true, assets = true,
}
local WON_PER_UNIT = 1000

local STATUS = { ["2"] = "suspended", ["3"] = "closed" }

-- Weights of the check digit of a business registration number.
local WEIGHTS = { 1, 3, 7, 1, 3, 7, 1, 3, 5 }


local function check_digit(number)
  local sum = 0
  for index, weight in ipairs(WEIGHTS) do
    sum = sum + number:byte(index) % 48 * weight
  end
  sum = sum + number:byte(9) % 48 * 5 // 10
  return (10 - sum % 10) % 10
end


local function refuse_number(message)
  fail("invalid_input", message, { pointer = "#/business_number" })
end


-- Ten digits: tax office (3), kind (2), serial (4), check digit (1).
local function business_number(value)
  local number = value:gsub("[%s-]", "")
  if not number:match("^%d%d%d%d%d%d%d%d%d%d$") then
    refuse_number("business_number must have ten digits, with or without hyphens: 124-81-00998")
  end
  if number:sub(1, 3) < "101" or number:sub(4, 5) == "00" or number:sub(6, 9) == "0000" then
    refuse_number("business_number " .. value .. " does not exist: no such office, kind or serial")
  end
  return number
end


local function refuse_wrong_digit(number)
  local digit = check_digit(number)
  if number:byte(10) - 48 ~= digit then
    refuse_number(("the check digit of business_number is wrong: %s should end in %d")
      :format(number, digit))
  end
end


-- `strict_checksum = false` leaves the verdict to Nice D&B: a few numbers in use do not
-- satisfy the check digit.
local function checked_number(value, config)
  local number = business_number(value)
  if config.extra_config.strict_checksum then
    refuse_wrong_digit(number)
  end
  return number
end


local function prepare_company(input, config)
  return { business_number = checked_number(input.business_number, config) }
end


local function prepare_representative(input, config)
  local name = text.trim(input.name)
  if name == "" then
    fail("invalid_input", "name must not be blank", { pointer = "#/name" })
  end
  return {
    name = text.nfc(name),
    business_number = checked_number(input.business_number, config),
  }
end


local function iso_date(value)
  local year, month, day = tostring(value):match("^(%d%d%d%d)(%d%d)(%d%d)$")
  return year and ("%s-%s-%s"):format(year, month, day) or nil
end


local function iso_month(value)
  local year, month = tostring(value):match("^(%d%d%d%d)(%d%d)$")
  return year and ("%s-%s"):format(year, month) or nil
end


local function amount(value)
  local number = tonumber(value)
  return number and math.tointeger(number * WON_PER_UNIT) or number and number * WON_PER_UNIT
end


local function status_of(value)
  if value == nil or value == "" then
    return "operating"
  end
  return STATUS[tostring(value)] or "unknown"
end


local function convert(name, value)
  if name == "status" then
    return status_of(value)
  end
  if value == nil or value == "" then
    return nil
  end
  if DATES[name] then
    return iso_date(value)
  end
  if AMOUNTS[name] then
    return amount(value)
  end
  if name == "employees_as_of" then
    return iso_month(value)
  end
  if name == "employees" then
    return math.tointeger(tonumber(value)) or tonumber(value)
  end
  return tostring(value)
end


local function pick(body, source)
  if type(source) ~= "table" then
    return body[source]
  end
  for _, name in ipairs(source) do
    if body[name] ~= nil then
      return body[name]
    end
  end
end


local function company_of(body, overrides)
  local company = { currency = "KRW", raw = body }
  for name, source in pairs(FIELDS) do
    company[name] = convert(name, pick(body, overrides and overrides[name] or source))
  end
  return company
end


local SEPARATORS = { ",", "/", "·", "외" }

-- Joint representatives stand in one text: "홍길동,김철수", "홍길동 외 1명".
local function names_in(value)
  local joined = value or ""
  for _, separator in ipairs(SEPARATORS) do
    joined = table.concat(text.split(joined, separator), "\n")
  end
  local names = json.array()
  for _, part in ipairs(text.split(joined, "\n")) do
    local name = text.trim(part)
    if name ~= "" and not name:match("^%d+%s*명$") then
      names[#names + 1] = name
    end
  end
  return names
end


local function comparable(name)
  local folded = text.fold(text.nfc(name) or name) or name
  return (folded:gsub("%s", ""):gsub("\u{3000}", ""))
end


local function verdict(input, company)
  local names = names_in(company.representative)
  local matched = false
  for _, name in ipairs(names) do
    matched = matched or comparable(name) == comparable(input.name)
  end
  return {
    name = input.name,
    business_number = input.business_number,
    matched = matched,
    ceo_names = names,
    company = company,
  }
end


local function message_of(header)
  local message = header.resMsg or header.msgCd or header.resCd
  return "Nice D&B answered resCd " .. tostring(header.resCd) .. ": " .. tostring(message)
end


-- HTTP 200 with a resCd other than "0" is a failure.
local function body_of(answer)
  local header = answer.dataHeader or {}
  if header.resCd ~= nil and tostring(header.resCd) ~= "0" then
    local code = tostring(header.resCd) == "1" and "upstream_error" or "rejected"
    fail(code, message_of(header))
  end
  return answer.dataBody
end


-- The vendor's documents disagree on the method: some contracts want a query.
local function ask(ctx, number)
  local path = ctx.config.extra_config.company_path
  local response = ctx.http.post(path, { json = { bizNo = number }, expect = { 405 } })
  if response.status == 405 then
    return ctx.http.get(path, { query = { bizNo = number } })
  end
  return response
end


local function find_company(ctx, input)
  local extra = ctx.config.extra_config
  local response = ask(ctx, input.business_number)
  local body = body_of(response.json)
  if type(body) ~= "table" or body.bizNo == nil then
    fail("not_found", "Nice D&B knows no company with the number " .. input.business_number)
  end
  return company_of(body, extra.fields)
end


local function classify(response)
  local kind = response.headers["content-type"] or ""
  if not kind:find("json", 1, true) or response.body == "" then
    return nil
  end
  local answer = response.json
  local known = type(answer) == "table" and ERRORS[answer.errorCode]
  if not known then
    return nil
  end
  return known[1], ("%s (%s)"):format(known[2], answer.errorCode), known[3]
end


local function fetch_token(ctx)
  local response = ctx.http.post(ctx.config.extra_config.token_path, {
    headers = { ["Content-Type"] = "application/json; charset=utf-8" },
    json = {
      appKey = ctx.secret("app_key"),
      appSecret = ctx.secret("app_secret"),
      grantType = "client_credentials",
      scope = "oob",
    },
  })
  local answer = response.json
  if type(answer.accessToken) ~= "string" then
    fail("upstream_auth", "Nice D&B answered without an accessToken")
  end
  -- `expiresIn` comes as a number or as text; the vendor advises a minute of reserve.
  local lifetime = tonumber(answer.expiresIn) or 3600
  return answer.accessToken, math.max(lifetime - 60, lifetime / 2)
end


-- Mock: a company that its number alone decides, always the same.

local FAMILY_NAMES = { "김", "이", "박", "최", "정", "강", "조", "윤" }
local GIVEN_NAMES = { "민준", "서연", "도윤", "지우", "하준", "수아", "은우", "지아" }
local STEMS = { "한빛", "가온", "누리", "새롬", "다온", "미르", "해솔", "온새미" }
local TRADES = {
  { "테크", "Tech", "62010", "컴퓨터 프로그래밍 서비스업", "서비스" },
  { "물산", "Trading", "46800", "상품 종합 도매업", "도매" },
  { "건설", "Construction", "41221", "사무용 건물 건설업", "건설" },
  { "식품", "Foods", "10799", "기타 식료품 제조업", "제조" },
}
local ENGLISH = { "Hanbit", "Gaon", "Nuri", "Saerom", "Daon", "Mir", "Haesol", "Onsaemi" }
local GRADES = { "A1", "A2", "A3", "B1", "B2", "B3", "C1", "C2" }
local DISTRICTS = { "마포구 마포대로", "강남구 테헤란로", "영등포구 여의대로", "중구 세종대로" }


-- A source of small numbers that depends on `seed` alone.
local function dice(seed)
  local digest, at = crypto.digest("sha256", seed), 0
  return function(limit)
    at = at % 16 + 1
    return (digest:byte(2 * at - 1) * 256 + digest:byte(2 * at)) % limit
  end
end


local function date_of(roll, first_year, years)
  return ("%04d%02d%02d"):format(first_year + roll(years), 1 + roll(12), 1 + roll(28))
end


local function mock_body(number)
  local roll = dice("nice_dnb:" .. number)
  local stem, trade = 1 + roll(#STEMS), TRADES[1 + roll(#TRADES)]
  local assets = 100000 + roll(60000) * 10
  local debt = assets * (20 + roll(50)) // 100
  local sales = assets * (60 + roll(120)) // 100
  return {
    bizNo = number,
    corpNo = "110111" .. ("%07d"):format(roll(65536) * 100 + roll(100)),
    cmpNm = "㈜" .. STEMS[stem] .. trade[1],
    cmpEnm = ENGLISH[stem] .. " " .. trade[2] .. " Co., Ltd.",
    ceoNm = FAMILY_NAMES[1 + roll(#FAMILY_NAMES)] .. GIVEN_NAMES[1 + roll(#GIVEN_NAMES)],
    empCnt = 5 + roll(400), empAccYm = "202412",
    indCd1 = trade[3], indNm = trade[4], bzcndNm = trade[5],
    cmpSclNm = "중소기업", cmpTypNm = "외감", estbDate = date_of(roll, 1985, 35),
    telNo = "02" .. ("%08d"):format(20000000 + roll(65536) * 100),
    zip = ("%05d"):format(3000 + roll(5000)),
    addr1 = ("서울특별시 %s %d"):format(DISTRICTS[1 + roll(#DISTRICTS)], 1 + roll(300)),
    criGrd = GRADES[1 + roll(#GRADES)], crDate = "20250615", sttDate = "20241231",
    salesAmt = sales, opprIcAmt = sales * (2 + roll(12)) // 100,
    shEqAmt = assets - debt, debtAmt = debt, assetAmt = assets,
  }
end


local function mock_company(input)
  return company_of(mock_body(input.business_number))
end


-- Changes of companies, for customers whose contract has Nice D&B announce them. The vendor publishes no
-- format: that of the body and of its signature (hexadecimal HMAC-SHA256 over the body) is the
-- customer's contract. Where it differs, a copy of this file in the project is the place to say so.


local function announced_number(ctx, payload)
  local source = ctx.config.extra_config.fields.business_number or FIELDS.business_number
  local value = type(payload) == "table" and pick(payload, source)
  if math.type(value) == "integer" then
    value = ("%010d"):format(value)
  end
  local known, number = pcall(checked_number, type(value) == "string" and value or "", ctx.config)
  if not known then
    fail("invalid_input", "the event names no company: " .. tostring(number), { retryable = false })
  end
  return number
end


-- The next call asks the vendor. Answers to search_representative are kept by a name that the event
-- does not have; they end after `cache_ttl_seconds`.
local function forget_company(ctx, event)
  local number = announced_number(ctx, event.payload)
  return { business_number = number, forgotten = ctx.cache.forget("search_company", { business_number = number }) }
end


local NUMBER = {
  type = "string", minLength = 10, maxLength = 20,
  description = "Business registration number (사업자등록번호), with or without hyphens.",
}

local COMPANY = {
  type = "object",
  required = { "business_number", "status", "currency" },
  additionalProperties = true,
  properties = {
    business_number = { type = "string" },
    name = { type = "string" },
    representative = { type = "string" },
    status = { enum = { "operating", "suspended", "closed", "unknown" } },
    established_on = { type = "string", format = "date" },
    currency = { const = "KRW" },
    sales = { type = "number", description = "In won; so are all amounts outside of raw." },
    raw = {
      type = "object",
      description = "The vendor's own fields; amounts in thousands of won.",
    },
  },
}


return {
  summary = "Company information (Nice D&B)",
  type = "api",
  secrets = { "app_key", "app_secret" },
  auth = { scheme = "token", fetch = fetch_token },
  classify = classify,

  config = {
    base_url = "https://gate.nicednb.com",
    timeout_seconds = 15,
    cache_ttl_seconds = 86400,
    extra_config = {
      token_path = "/nice/oauth/v1.0/accesstoken",
      company_path = "/nice/bizinfo/v1.0/custom/bzmaininfo01/certification",
      strict_checksum = true,
      fields = {},
    },
  },

  operations = {
    search_company = {
      summary = "A company by its business registration number",
      input = {
        type = "object", required = { "business_number" },
        properties = { business_number = NUMBER },
        examples = { { business_number = "124-81-00998" } },
      },
      output = COMPANY,
      prepare = prepare_company,
      cache = true,
      run = find_company,
      mock = function(_, input) return mock_company(input) end,
    },

    search_representative = {
      summary = "Whether somebody represents a company",
      description = "Compares a name with the company's representatives: there is no search by name.",
      input = {
        type = "object", required = { "name", "business_number" },
        properties = {
          name = { type = "string", minLength = 1, maxLength = 100 },
          business_number = NUMBER,
        },
        examples = { { name = "홍길동", business_number = "124-81-00998" } },
      },
      output = {
        type = "object",
        required = { "name", "business_number", "matched", "ceo_names", "company" },
        properties = {
          name = { type = "string" },
          business_number = { type = "string" },
          matched = { type = "boolean" },
          ceo_names = { type = "array", items = { type = "string" } },
          company = COMPANY,
        },
      },
      prepare = prepare_representative,
      cache = true,
      run = function(ctx, input)
        return verdict(input, find_company(ctx, input))
      end,
      mock = function(_, input)
        return verdict(input, mock_company(input))
      end,
    },
  },

  -- No "*": a type that the contract did not have fails, and somebody looks.
  webhooks = {
    signature = { scheme = "hmac-sha256", header = "X-Nice-Signature" },
    event_type = "event_type",
    event_id = "event_id",
    on = {
      ["company.changed"] = forget_company,
      ["company.closed"] = forget_company,
    },
  },
}
