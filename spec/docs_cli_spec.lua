local json = require "tide.json"
local markdown = require "tide.docs.markdown"
local openapi = require "spec.support.openapi"
local service = require "spec.support.service"

local ACME = [==[
return {
  summary = "Parcels | letters <b>& more</b>",
  description = "Tracks:\n\n```sh\nacme track\n\n# A heading inside",
  auth = { scheme = "bearer", secret = "api_key" },
  secrets = { "own" },
  config = { base_url = "https://acme.example/v2", rate_limit_calls_per_minute = 7 },
  operations = {
    track = {
      summary = "Where a parcel is",
      input = { type = "object", required = { "parcel" }, properties = {
        parcel = { type = "string", pattern = "^[0-9|]{10,12}$", description = "Its number | `code`" },
        days = { type = "integer", minimum = 1, maximum = 30, default = 7 },
        address = { type = "object", required = { "city" }, properties = {
          city = { type = "string", minLength = 2 },
          lines = { type = "array", maxItems = 3, items = { type = "object", properties = {
            text = { type = "string" } } } },
        } },
      }, examples = { { parcel = "1234567890", days = 3, address = { city = "it's 서울" } } } },
      output = { oneOf = { { type = "object" }, { type = "string" } } },
      cache = { ttl_seconds = 60 }, idempotent = true,
      run = function(ctx, input) return input end,
      mock = function(ctx, input) return input end,
    },
    plain = { run = function() return { done = true } end, mock = function() return { done = true } end },
  },
  webhooks = { shop = {
    signature = { scheme = "hmac-sha256", header = "X-Shop", secret = "hook" }, event_type = "type", event_id = "id",
    on = { ["parcel.delivered"] = function() end, ["parcel.scanned"] = false },
  } },
}
]==]


-- The cells of each row of the tables of a page.
local function rows_of(page)
  local rows = {}
  for line in page:gmatch("\n(|[^\n]*)") do
    local cells = {}
    for cell in line:gsub("\\|", "\0"):gmatch("|([^|]*)") do
      cells[#cells + 1] = cell:gsub("%z", "|"):match("^%s*(.-)%s*$")
    end
    cells[#cells] = nil
    rows[#rows + 1] = cells
  end
  return rows
end


local function row(page, first)
  for _, cells in ipairs(rows_of(page)) do
    if cells[1] == first then
      return cells
    end
  end
end


-- The commands of a page's examples, each as it would be typed.
local function commands_of(page)
  local commands = {}
  for block in page:gmatch("\n```sh\n(.-)\n```\n") do
    for command in (block:gsub("\\\n%s*", "") .. "\n"):gmatch("([^\n]+)\n") do
      commands[#commands + 1] = command
    end
  end
  return commands
end


describe("tidegate docs", function()
  local project


  before_each(function()
    project = service.project { ["providers/acme.lua"] = ACME }
  end)


  after_each(function() project:close() end)


  local function run(...)
    local code, out, err = project:run { "docs", ... }
    assert.equal(0, code, err)
    return out
  end


  it("prints the OpenAPI document that the service answers to an administrator", function()
    local document = json.decode(run "openapi")
    assert.same({}, openapi.faults(document))
    local running = project:serve()
    local _, served = running:request("GET", "/openapi.json")
    assert.same(served, document)
  end)


  it("writes the document, an index and a page for each integration", function()
    local answer = json.decode(run("--output", "pages/api/"))
    assert.equal("pages/api", answer.output)
    assert.same({ "index.md", "integrations/acme.md", "openapi.json" }, answer.files)
    assert.same({}, openapi.faults(json.decode(project:read("pages/api/openapi.json"))))
    local index = project:read("pages/api/index.md")
    assert.matches("[acme](integrations/acme.md)", index, 1, true)
    assert.matches("integrations/acme.md#track", index, 1, true)
    assert.equal(run "acme", project:read("pages/api/integrations/acme.md"))
    assert.equal(0, (project:run { "docs", "--output", "pages/api" }))
  end)


  it("tells what did not load, writes the rest, and fails", function()
    project:write("providers/broken.lua", "return {\n  operations = 1,\n}")
    local code, out, err = project:run { "docs", "--output", "pages" }
    assert.equal(1, code)
    assert.same({ "index.md", "integrations/acme.md", "openapi.json" }, json.decode(out).files)
    assert.matches("providers/broken.lua:2: ", err, 1, true)
    assert.matches("did not load", project:read("pages/index.md"))
  end)


  it("says where it cannot write, and what it does not know", function()
    project:write("file", "")
    local code, _, err = project:run { "docs", "--output", "file" }
    assert.equal(1, code)
    assert.matches("file/index.md could not be written", err)
    assert.equal(2, (project:run { "docs", "acme", "--output", "pages" }))
    assert.equal(2, (project:run { "docs", "acme", "acme" }))
  end)


  describe("of an integration", function()
    local page


    before_each(function() page = run "acme" end)


    it("has the schema as a table: fields, types, bounds, descriptions", function()
      assert.same({ "`parcel`", "string", "yes", "matches `^[0-9|]{10,12}$`", "Its number | \\`code\\`" },
        row(page, "`parcel`"))
      assert.same({ "`days`", "integer", "", "1 to 30; else `7`", "" }, row(page, "`days`"))
      assert.same({ "`address.city`", "string", "yes", "at least 2 characters", "" }, row(page, "`address.city`"))
      assert.equal("at most 3 items", row(page, "`address.lines`")[4])
      assert.equal("string", row(page, "`address.lines[].text`")[2])
      assert.matches('The whole schema:\n\n```json\n{.*"oneOf"', page)
    end)


    it("has tables whose rows are all as wide as their head", function()
      local width
      for line in (page .. "\n"):gmatch("(.-)\n") do
        local bars = line:sub(1, 1) == "|" and select(2, line:gsub("\\|", ""):gsub("|", ""))
        assert.is_true(not (width and bars) or width == bars, line)
        width = bars or nil
      end
    end)


    it("stays Markdown, whatever a provider says of itself", function()
      local _, fences = page:gsub("\n```", "")
      assert.equal(0, fences % 2)
      assert.not_matches("<b>", page:gsub("\\<", ""))
      assert.matches("\n## track\n", page)
      assert.is_true(page:find("# A heading inside", 1, true) < page:find("## track", 1, true))
    end)


    it("says what it needs, its limits, its webhooks and what can go wrong", function()
      assert.same({ "`api_key`", "`TIDEGATE_ACME_API_KEY`", "requests (`secret`)" }, row(page, "`api_key`"))
      assert.same({ "`hook`", "`TIDEGATE_ACME_HOOK`", "the webhook `shop` (`secret`)" }, row(page, "`hook`"))
      assert.same({ "`own`", "`TIDEGATE_ACME_OWN`", "the script" }, row(page, "`own`"))
      assert.matches("| `rate_limit_calls_per_minute` | `7` | provider", page, 1, true)
      assert.matches("| `webhook_max_bytes` | `1048576` |", page, 1, true)
      assert.matches("Third party: `https://acme.example/v2`", page, 1, true)
      assert.matches("http://127.0.0.1:8080/api/v1/webhooks/acme/shop", page, 1, true)
      assert.matches("`hmac-sha256`, in the header `x-shop`, with `hook`", page, 1, true)
      assert.same({ "`parcel.delivered`", "handled" }, row(page, "`parcel.delivered`"))
      assert.same({ "`parcel.scanned`", "nothing to do" }, row(page, "`parcel.scanned`"))
      assert.same({ "`timeout`", "504", "Timed out", "if it may run again" }, row(page, "`timeout`"))
      assert.matches("Cached: fresh for 60 s.", page, 1, true)
    end)


    it("has examples that work as they are typed", function()
      project:write("config.lua", "return { integrations = { acme = { is_mock_mode = true } } }")
      local running = project:serve()
      project:write("config.lua", ("return { public_url = %q, integrations = { acme = { is_mock_mode = true } } }")
        :format(running.origin))
      local binary = project:command({}):match("exec '([^']*)'")
      local tried = 0
      for _, command in ipairs(commands_of(run "acme")) do
        if command:find("^curl") or command:find("^tidegate call") then
          local pipe = assert(io.popen(("cd '%s' && export PATH='%s':$PATH TIDEGATE_TOKEN=%s && %s"):format(
            project.folder, binary:match("^(.*)/"), running.token, command)))
          local answer = json.decode(pipe:read("a"))
          assert.is_true(pipe:close())
          local expected = command:find("track") and { parcel = "1234567890", days = 3, address = { city = "it's 서울" } }
            or { done = true }
          assert.same(expected, answer.data, command)
          tried = tried + 1
        end
      end
      assert.equal(4, tried)
    end)
  end)


  it("has a manual page with every command and option", function()
    local page = run "man"
    for line in page:gmatch("[^\n]+") do
      assert.not_matches("^'", line)
    end
    assert.matches('.It Nm tidegate "serve ', page, 1, true)
    assert.matches('.It "\\-c, \\-\\-config FILE"', page, 1, true)
    assert.matches(".It Nm tidegate \"webhooks send", page, 1, true)
  end)


  it("lists what there is to read", function()
    local out = run()
    assert.matches("tidegate docs openapi", out)
    assert.matches("tidegate docs acme", out)
  end)
end)


describe("markdown", function()
  it("keeps text that looks like markup from being any", function()
    assert.equal("a \\*b\\* \\`c\\` \\[d\\] \\<e\\>", markdown.line("a *b*\n`c` [d] <e>"))
    assert.equal("\\# a", markdown.line("# a"))
    assert.equal("a\\|b", markdown.cell("a|b"))
    assert.equal("``a`b``", (markdown.code("a`b"):gsub(" ", "")))
    assert.equal("````\n```\n````", markdown.block("", "```"))
    assert.equal("????", markdown.line("\xff\xfe\xfd\xfc"))
  end)


  it("closes what paragraphs leave open, and keeps their headings below the page's", function()
    assert.equal("a\n```\nb\n```", markdown.paragraphs("a\n```\nb"))
    assert.equal("~~~~\n```\n~~~\n~~~~", markdown.paragraphs("~~~~\n```\n~~~"))
    assert.equal("```\n# a\n```\n##### b", markdown.paragraphs("```\n# a\n```\n# b"))
    assert.equal("\\<script>", markdown.paragraphs("<script>\n"))
  end)
end)
