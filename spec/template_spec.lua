local json = require "tide.json"
local sandbox = require "tide.sandbox"
local template = require "tide.template"
local view = require "tide.view"

local seed = tonumber(os.getenv("SEED")) or os.time()


local function plain(text, values)
  return assert(template.render(text, values, { escape = "none" }))
end


-- Refused, with exactly this message and a code.
local function refused(text, values, message, code, options)
  local result, seen, seen_code = template.render(text, values, options)
  assert.is_nil(result)
  assert.equal(message, seen)
  assert.equal(code, seen_code)
end


describe("tide.template", function()
  it("puts values in by their names", function()
    assert.equal("Hello Kim!", plain("Hello {{ name }}!", { name = "Kim" }))
    assert.equal("1-2", plain("{{a.b.c}}-{{ a.d }}", { a = { b = { c = 1 }, d = 2 } }))
    assert.equal("홍길동 님", plain("{{이름}} 님", { ["이름"] = "홍길동" }))
    assert.equal("x", plain("{{order-id}}", { ["order-id"] = "x" }))
    assert.equal("", plain(""))
    assert.equal("{ a } }}", plain("{ a } }}"))
    assert.equal("v", plain("{{this.a}}", { a = "v" }))
  end)


  it("writes numbers and booleans as people do", function()
    assert.equal("15000 0.1 -3 true false 9007199254740993",
      plain("{{a}} {{b}} {{c}} {{d}} {{e}} {{f}}",
        { a = 30000 / 2, b = 0.1, c = -3, d = true, e = false, f = 9007199254740993 }))
  end)


  it("escapes for HTML unless told otherwise", function()
    local values = { a = [[<b a='1'>&"]] }
    assert.equal("<p>&lt;b a=&#39;1&#39;&gt;&amp;&quot;</p>", template.render("<p>{{a}}</p>", values))
    assert.equal([[<b a='1'>&"]], template.render("{{{ a }}}", values))
    assert.equal([[<b a='1'>&"]], template.render("{{a}}", values, { escape = "none" }))
  end)


  it("never reads a value as a template", function()
    assert.equal("{{b}}{{{b}}}", plain("{{a}}{{{a2}}}", { a = "{{b}}", a2 = "{{{b}}}", b = "no" }))
    assert.equal("%1 %0", plain("{{a}} {{b}}", { a = "%1", b = "%0" }))
  end)


  it("refuses line breaks in values for headers, raw ones too", function()
    local options = { escape = "header" }
    assert.equal("Hi <Kim>", template.render("Hi {{a}}", { a = "<Kim>" }, options))
    for _, value in ipairs { "a\r\nBcc: x", "a\nb", "a\rb", "a\0b" } do
      refused("Hi {{a}}", { a = value }, "line 1: {{a}} holds a line break", "invalid_value", options)
      refused("Hi {{{a}}}", { a = value }, "line 1: {{a}} holds a line break", "invalid_value", options)
    end
  end)


  it("names line and value of what is missing", function()
    local text = "one\n{{a}}\n\n {{b.c}}"
    refused(text, { a = 1 }, "line 4: {{b.c}} has no value", "missing_value")
    refused(text, { a = 1, b = "text" }, "line 4: {{b.c}} has no value", "missing_value")
    refused(text, { a = json.null }, "line 2: {{a}} has no value", "missing_value")
    refused("{{#each a}}{{/each}}", {}, "line 1: {{#each a}} has no value", "missing_value")
    assert.equal("[]", template.render("[{{a}}{{b.c}}{{#each d}}x{{/each}}]", {}, { missing = "empty" }))
  end)


  it("refuses what is no text, without showing it", function()
    refused("{{a}}", { a = { "s3cr3t" } }, "line 1: {{a}} is a table, not text", "invalid_value")
    refused("{{a}}", { a = print }, "line 1: {{a}} is a function, not text", "invalid_value")
    refused("{{a}}", { a = 0 / 0 }, "line 1: {{a}} is no finite number", "invalid_value")
    refused("{{#each a}}{{/each}}", { a = "text" }, "line 1: {{#each a}} is no list", "invalid_value")
    refused("{{#each a}}{{/each}}", { a = { b = 1 } }, "line 1: {{#each a}} is no list", "invalid_value")
  end)


  it("chooses with if", function()
    local text = "{{#if a}}yes{{else}}no{{/if}}"
    for _, value in ipairs { "x", "0", 0, true, { 1 }, { b = 1 } } do
      assert.equal("yes", plain(text, { a = value }))
    end
    for _, value in ipairs { "", false, json.null, {}, json.array() } do
      assert.equal("no", plain(text, { a = value }))
    end
    assert.equal("no", plain(text, {}))
    assert.equal("", plain("{{#if a}}yes{{/if}}", {}))
    assert.equal("2", plain("{{#if a}}1{{else}}{{#if b}}2{{else}}3{{/if}}{{/if}}", { b = true }))
  end)


  it("repeats with each", function()
    local text = "{{#each list}}{{this.n}}{{#each this.sub}}({{this}}{{mark}}){{/each}};{{else}}none{{/each}}"
    local values = { mark = "!", list = { { n = 1, sub = { "a", "b" } }, { n = 2, sub = {} } } }
    assert.equal("1(a!)(b!);2;", plain(text, values))
    assert.equal("none", plain(text, { list = {} }))
    assert.equal("123", plain("{{#each list}}{{this}}{{/each}}", { list = { 1, 2, 3 } }))
  end)


  it("takes the line of a block or comment that stands alone", function()
    local text = "a\n  {{#each list}}\n- {{this}}\n  {{/each}}\r\n{{! remark }}\n"
      .. "{{!-- {{x}}\n }} --}}\nz\n{{#if no}}\n{{/if}}"
    assert.equal("a\n- 1\n- 2\nz\n", plain(text, { list = { 1, 2 } }))
    assert.equal("a \nb", plain("a {{#if t}}\nb{{/if}}", { t = true }))
    assert.equal("x\n", plain("{{#if t}}{{a}}{{/if}}\n", { t = true, a = "x" }))
    assert.equal(" x\n", plain(" {{a}}\n", { a = "x" }))
  end)


  it("says what is wrong with a template, and where", function()
    for text, message in pairs {
      ["\n{{a"] = "line 2: {{ without }}",
      ["{{{a}}"] = "line 1: {{{ without }}}",
      ["{{!-- a }}"] = "line 1: {{!-- without --}}",
      ["{{}}"] = 'line 1: "" is not the name of a value',
      ["{{a b}}"] = 'line 1: "a b" is not the name of a value',
      ["{{a..b}}"] = 'line 1: "a..b" is not the name of a value',
      ["{{1}}"] = 'line 1: "1" is not the name of a value',
      ["{{#if}}{{/if}}"] = 'line 1: "" is not the name of a value',
      ["{{#with a}}{{/with}}"] = "line 1: {{#with}} is unknown: there are {{#if}} and {{#each}}",
      ["a\n{{#if a}}\n{{b}}"] = "line 2: {{#if}} without {{/if}}",
      ["{{#if a}}\n\n{{/each}}"] = "line 3: {{/each}} where {{#if}} of line 1 is open",
      ["{{/if}}"] = "line 1: {{/if}} closes nothing",
      ["{{else}}"] = "line 1: {{else}} without a block before it",
      ["{{#if a}}{{else}}{{else}}{{/if}}"] = "line 1: {{else}} without a block before it",
    } do
      local render, seen, code = template.compile(text)
      assert.is_nil(render)
      assert.equal(message, seen)
      assert.equal("invalid_template", code)
    end
  end)


  it("bounds depth, size of the template and of the result", function()
    local function nested(depth)
      return ("{{#if a}}"):rep(depth) .. "x" .. ("{{/if}}"):rep(depth)
    end
    assert.equal("x", plain(nested(32), { a = true }))
    refused(nested(33), {}, "line 1: blocks are nested deeper than 32", "invalid_template")
    refused(("x"):rep(1024 * 1024 + 1), {}, "a template may have at most 1048576 bytes", "too_large")
    local list = {}
    for i = 1, 2000 do list[i] = i end
    refused("{{#each l}}{{#each l}}abc{{/each}}{{/each}}", { l = list }, "the result passes 8388608 bytes", "too_large")
    refused("{{a}}", { a = ("<"):rep(3 * 1024 * 1024) }, "the result passes 8388608 bytes", "too_large")
    refused("{{a}}", { a = ("<"):rep(9 * 1024 * 1024) }, "line 1: {{a}} is too long", "too_large")
  end)


  it("reads templates full of blanks and braces quickly", function()
    local blanks = (" "):rep(300000)
    assert.equal("x", plain("{{a" .. blanks .. "}}", { a = "x" }))
    assert.is_nil((template.compile("{{a" .. blanks .. "b}}")))
    assert.is_nil((template.compile(("{{#if a" .. blanks .. "b}}"))))
    assert.equal(blanks .. "x", plain(blanks .. "{{a}}", { a = "x" }))
    assert.is_nil((template.compile(("{"):rep(300001))))
    assert.equal(("}"):rep(300000), plain(("}"):rep(300000)))
  end)


  it("compiles once and fills in many times", function()
    local render = assert(template.compile("{{a}}", { missing = "empty" }))
    assert.equal("1", render { a = 1 })
    assert.equal("2", render { a = 2 })
    assert.equal("", render())
  end)


  it("asks no metatable, and looks into the views of ctx", function()
    local trap = setmetatable({}, {
      __index = function() error("asked") end, __len = function() error("asked") end,
      __pairs = function() error("asked") end, __tostring = function() error("asked") end,
    })
    refused("{{t.a}}", { t = trap }, "line 1: {{t.a}} has no value", "missing_value")
    refused("{{t}}", { t = trap }, "line 1: {{t}} is a table, not text", "invalid_value")
    assert.equal("", plain("{{#each t}}x{{/each}}{{#if t}}x{{/if}}", { t = trap }))
    local config = view.readonly({ lang = "ko", list = { "a" } })
    assert.equal("ko a", plain("{{c.lang}} {{#each c.list}}{{this}}{{/each}}", { c = config }))
    assert.equal("ko", plain("{{lang}}", config))
  end)


  it("raises for misuse, at the caller's line", function()
    for _, misuse in ipairs {
      function() template.render() end, function() template.render("a", 1) end,
      function() template.render("a", {}, 1) end, function() template.compile({}) end,
      function() template.render("a", {}, { escape = "xml" }) end,
      function() template.compile("a", { missing = true }) end,
      function() local render = template.compile("a") render(1) end,
    } do
      local ok, message = pcall(misuse)
      assert.is_false(ok)
      assert.matches("^spec/template_spec.lua:%d+: ", message)
    end
  end)


  it("is there for providers", function()
    assert.equal("hi Kim", (sandbox.load([[
      return (require "tide.template").render("hi {{n}}", { n = "Kim" })
    ]], "providers/acme.lua")))
  end)


  describe("over random templates", function()
    local ALPHABET = { "a", "b", " ", ".", "<", "&", "}", "한", "%1", "'" }
    local NAMES = { "a", "b", "list", "name", "이름" }

    local function word(random, most)
      local parts = {}
      for i = 1, random(0, most) do parts[i] = ALPHABET[random(#ALPHABET)] end
      return table.concat(parts)
    end

    local function escaped(value)
      local entities = { ["&"] = "&amp;", ["<"] = "&lt;", ["'"] = "&#39;" }
      return (tostring(value):gsub("[&<']", entities))
    end

    -- A piece of a template, and what it must become; `this` is the item's value.
    local piece

    local function pieces(random, depth, values, this)
      local texts, results = {}, {}
      for i = 1, random(0, 5) do texts[i], results[i] = piece(random, depth, values, this) end
      return table.concat(texts), table.concat(results)
    end

    local function value_piece(random, values, this)
      local name = this and random(2) == 1 and "this" or NAMES[random(#NAMES)]
      local value = name == "this" and this or values[name]
      if random(4) == 1 then
        return "{{{" .. name .. "}}}", tostring(value)
      end
      return "{{" .. (" "):rep(random(0, 2)) .. name .. " }}", escaped(value)
    end

    local function if_piece(random, depth, values, this)
      local name = random(2) == 1 and "missing" or NAMES[random(#NAMES)]
      local yes, yes_result = pieces(random, depth + 1, values, this)
      local no, no_result = pieces(random, depth + 1, values, this)
      local value = values[name]
      return ("{{#if %s}}%s{{else}}%s{{/if}}"):format(name, yes, no),
        (value and value ~= "") and yes_result or no_result
    end

    local function each_piece(random, depth, values)
      -- One item: what the body becomes is known when the body is made.
      local item = word(random, 3)
      values.items[#values.items + 1] = { item }
      local name = "items_" .. #values.items
      values[name] = values.items[#values.items]
      local body, result = pieces(random, depth + 1, values, item)
      return "{{#each " .. name .. "}}" .. body .. "{{/each}}", result
    end

    piece = function(random, depth, values, this)
      local kind = random(depth < 4 and 5 or 3)
      if kind == 1 then
        local text = word(random, 6)
        return text, text
      elseif kind <= 3 then
        return value_piece(random, values, this)
      elseif kind == 4 then
        return if_piece(random, depth, values, this)
      end
      return each_piece(random, depth, values)
    end

    it("Property 7: every variable is substituted, whatever the template and the values", function()
      math.randomseed(seed)
      for _ = 1, 2000 do
        local values = { items = {} }
        for _, name in ipairs(NAMES) do
          values[name] = math.random(3) == 1 and math.random(-99, 99) or word(math.random, 5)
        end
        local text, expected = pieces(math.random, 1, values)
        local result, message = template.render(text, values)
        assert.equal(expected, result, ("seed %d: %s: %s"):format(seed, text, message))
      end
    end)
  end)
end)
