local cli = require "tide.cli"
local completion = require "tide.completion"
local host = require "tide.host"
local help = require "tide.cli.help"
local service = require "spec.support.service"
local time = require "tide.time"
local usage = require "tide.usage"

local ACME = [[
return {
  operations = {
    track = {
      summary = "Where a parcel is",
      input = { type = "object", properties = { parcel = { type = "string" },
        tag = { enum = { "old", "new", "$(x)", 7, {} } } } },
      run = function() end,
    },
    find = { run = function() end },
  },
  secrets = { "app_key" },
  webhooks = { shop = { signature = { scheme = "github", secret = "hook" }, on = {} } },
}
]]


local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end


local function lines_of(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return lines
end


describe("completion", function()
  local project, binary


  setup(function()
    project = service.project {
      ["config.lua"] = "return { integrations = { nice_dnb = {}, mirror = { provider = 'acme' } } }",
      ["providers/acme.lua"] = ACME,
      ["providers/broken.lua"] = "return {",
      ["other.lua"] = "return {}",
      ["providers/$(touch ran).lua"] = "return {}",
    }
    binary = project:command({}):match("exec '([^']*)'")
  end)


  teardown(function() project:close() end)


  -- The same without a process of its own, for what needs no project.
  local function words_here(...)
    local list = {}
    for index, candidate in ipairs(completion.words({ ... })) do
      list[index] = candidate[1]
    end
    return table.concat(list, " ")
  end


  -- What may stand for the last word.
  local function words(...)
    local code, out, err = project:run { "completion", "words", "--", ... }
    assert.equal(0, code)
    assert.equal("", err)
    local list = {}
    for _, line in ipairs(lines_of(out)) do
      list[#list + 1] = line:match("^[^\t]*")
    end
    return table.concat(list, " ")
  end


  it("knows every command and its options", function()
    local commands = " " .. words("") .. " "
    for _, name in ipairs(cli.names()) do
      assert.truthy(commands:find(" " .. name .. " ", 1, true), name)
      local options = " " .. words_here(name, "--") .. " "
      for _, option in ipairs(cli.command(name).options or {}) do
        assert.truthy(options:find(" --" .. option.name .. " ", 1, true), name .. " --" .. option.name)
      end
    end
    assert.equal("secret serve", words "se")
    assert.equal("--workers", words("serve", "--w"))
    assert.equal("", words("frobnicate", ""))
  end)


  it("offers an option once, unless it may come again", function()
    assert.not_matches("%-%-strict", words("serve", "--strict", "--"))
    assert.matches("%-%-listen", words("serve", "--listen", "a:1", "--"))
  end)


  it("offers files where a file stands", function()
    assert.equal(":files", words("serve", "-c", ""))
    assert.equal(":files", words("serve", "--config="))
    assert.equal(":files", words("run", "ot"))
  end)


  it("knows the actions of commands", function()
    assert.equal("create list revoke", words("token", ""))
    assert.matches("send show$", words("webhooks", ""))
    assert.equal("admin caller operator viewer", words("token", "create", "--role", ""))
    assert.equal("caller operator viewer", words("attach", "--role", ""))
    assert.equal("--role=viewer", words("token", "create", "--role=v"))
    assert.equal("bash zsh", words("completion", ""))
  end)


  it("knows the project: integrations, operations, members of inputs, secrets, webhooks", function()
    assert.equal("acme broken mirror nice_dnb", words("call", ""))
    assert.equal("find track", words("call", "acme", ""))
    assert.equal("track", words("call", "mirror", "--mock", "tra"))
    assert.equal("search_company search_representative", words("call", "nice_dnb", ""))
    assert.equal("parcel= tag=", words("call", "acme", "track", "parcel=1", ""))
    assert.equal("tag=7 tag=new tag=old", words("call", "acme", "track", "tag="))
    assert.equal("success=true", words("logs", "success=t"))
    assert.equal("app_key hook", words("secret", "set", "acme", ""))
    assert.equal("acme/shop", words("webhooks", "send", "acme/"))
    assert.matches("success=", words("logs", ""))
    assert.matches("/api/v1/status", words("api", "GET", "/api/v1/s"))
  end)


  it("knows the keys of settings and their values", function()
    assert.equal("is_enabled= is_mock_mode=", words("config", "set", "acme", "is_"))
    assert.equal("is_mock_mode=false is_mock_mode=true", words("config", "set", "acme", "is_mock_mode="))
    assert.equal("log_calls=uncached", words("config", "set", "acme", "max_retries=1", "log_calls=u"))
    assert.equal("cache_enabled", words("config", "unset", "acme", "max_retries", "cache_e"))
    assert.equal("track", words("config", "explain", "acme", "t"))
    assert.not_matches("base_url", words("config", "set", "acme", "provider"))
  end)


  it("finds the project that -c names, and is silent where there is none or it is broken", function()
    assert.equal("acme", words("call", "-c", project.folder .. "/config.lua", "ac"))
    assert.equal("", words("call", "-c", "missing.lua", ""))
    assert.equal("", words("call", "broken", ""))
    assert.equal("", words("call", "nobody", ""))
    assert.equal("", words("call", "acme", "nothing", ""))
    local code, out, err = project:run { "completion", "words" }
    assert.same({ 0, "", "" }, { code, out, err })
  end)


  -- The shortest of some runs, as others may have the processor.
  local function seconds_of(run, enough)
    local best, tries = math.huge, 0
    while best >= enough and tries < 20 do
      local started = time.monotonic()
      run()
      best, tries = math.min(best, time.monotonic() - started), tries + 1
    end
    return best
  end


  it("takes less than a tenth of a second, where the program itself starts fast", function()
    local start = seconds_of(function() project:run { "version" } end, 0.01)
    local most = math.max(0.1, 4 * start) -- a build with a sanitizer is slow in all it does
    local best = seconds_of(function() words("call", "acme", "track", "") end, most)
    assert.is_true(best < most, ("%.3f s, and %.3f s to start"):format(best, start))
  end)


  it("says what it takes when asked for another shell", function()
    local code, out, err = project:run { "completion", "fish" }
    assert.same({ 2, "" }, { code, out })
    assert.matches("bash or zsh", err)
  end)


  -- What a shell's own program says when it runs `script` in the project's folder.
  local function shell(program, script)
    local path = project.folder .. "/script"
    assert(host.write_file(path, script, 384))
    local pipe = assert(io.popen(("cd %s && PATH=%s:$PATH timeout 9 %s %s 2>/dev/null"):format(quote(project.folder),
      quote(binary:match("^(.*)/")), program, path)))
    local out = pipe:read("a")
    pipe:close()
    return lines_of(out)
  end


  describe("in bash", function()
    local function completed(line)
      return shell("bash", ([[
        source <(tidegate completion bash)
        complete -p tidegate
        COMP_LINE=%s COMP_POINT=%d
        _tidegate
        printf '%%s\n' "${COMPREPLY[@]}"
      ]]):format(quote(line), #line))
    end


    it("completes commands, options, the project's names and files", function()
      assert.same({ "complete -F _tidegate tidegate", "serve" }, completed "tidegate ser")
      assert.same({ "acme", "broken", "mirror", "nice_dnb" }, { table.unpack(completed "tidegate call ", 2) })
      assert.same({ "track" }, { table.unpack(completed "tidegate call acme trac", 2) })
      assert.same({ "other.lua" }, { table.unpack(completed "tidegate serve -c oth", 2) })
      assert.same({ "--strict" }, { table.unpack(completed "tidegate serve --s", 2) })
    end)


    it("completes what follows an equals sign, which bash takes for a word of its own", function()
      assert.same({ "other.lua" }, { table.unpack(completed "tidegate serve --config=oth", 2) })
      assert.same({ "viewer" }, { table.unpack(completed "tidegate token create --role=v", 2) })
    end)


    it("is left alone by words that could run", function()
      assert.same({}, { table.unpack(completed "tidegate call $(touch ran) `touch ran` ;", 2) })
      assert.is_false(project:exists("ran"))
    end)
  end)


  describe("in zsh", function()
    -- At a prompt of its own in a terminal of its own: one line a case, { what is typed before a tab, what the line
    -- becomes }; "no" and the case for each that does not come true.
    local CASE = [==[
      zpty -w -n shell $'\x15'%s$'\t'
      all=
      for try in {1..150}; do
        zpty -r -t shell more && all+=$more
        [[ $all == *%s* ]] && break
        sleep 0.02
      done
      [[ $all == *%s* ]] || print -r -- no %s "$all"
    ]==]


    local function failures(cases)
      local parts = { [==[
        zmodload zsh/zpty
        zpty shell env TERM=dumb zsh -f -i
        zpty -w shell 'PROMPT= RPROMPT=; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -D -u'
        zpty -w shell 'source <(tidegate completion zsh); print READ""Y'
        zpty -r shell seen '*READY*' || print no prompt
      ]==] }
      for _, case in ipairs(cases) do
        local typed, becomes = quote(case[1]), quote(case[2])
        parts[#parts + 1] = CASE:format(typed, becomes, becomes, typed)
      end
      parts[#parts + 1] = "zpty -d shell; print done"
      return shell("zsh -f", table.concat(parts, "\n"))
    end


    it("completes commands, the project's names, values and files at a real prompt", function()
      assert.same({ "done" }, failures {
        { "tidegate ser", "serve " }, { "tidegate call ac", "acme " }, { "tidegate call acme tr", "track " },
        { "tidegate serve -c oth", "other.lua" }, { "tidegate token create --role=v", "--role=viewer" },
        { "tidegate call acme track par", "parcel=" },
      })
    end)
  end)
end)


describe("the usage lines of commands", function()
  it("name only options that there are", function()
    for _, name in ipairs(cli.names()) do
      local command = cli.command(name)
      for option in command.usage:gmatch("%-%-([%l-]+)") do
        local known = false
        for _, each in ipairs(command.options or {}) do
          known = known or each.name == option
        end
        assert.is_true(known, ("%s --%s"):format(name, option))
      end
      assert.truthy(command.usage:find("^" .. name), name)
      assert.is_string(command.summary, name)
    end
  end)


  it("are read into the words and kinds of each place", function()
    local command = { usage = "thing set INTEGRATION key=value|key:=JSON … [--dry-run] | get [KEY | all] | "
      .. "a-b --out DIR X\n       tidegate thing send NAME[/SOURCE] --file FILE",
      options = { { name = "out", value = "DIR" }, { name = "file", value = "FILE" }, { name = "dry-run" } } }
    local alternatives = usage.parse("thing", command)
    assert.equal(4, #alternatives)
    assert.same({ words = { "set" }, kinds = {}, repeats = false }, alternatives[1][1])
    assert.same({ "INTEGRATION" }, alternatives[1][2].kinds)
    assert.same({ words = {}, kinds = { "KEY=VALUE", "KEY=VALUE" }, repeats = true }, alternatives[1][3])
    assert.same({ words = { "all" }, kinds = { "KEY" }, repeats = false }, alternatives[2][2])
    assert.same({ { words = { "a-b" }, kinds = {}, repeats = false },
      { words = {}, kinds = { "X" }, repeats = false } }, alternatives[3])
    assert.same({ "NAME" }, alternatives[4][2].kinds)
    assert.equal(2, #alternatives[4])
  end)


  it("stand in a group of `tidegate help`", function()
    local groups = help.groups(cli.names())
    assert.not_equal("Others", groups[#groups][1])
  end)
end)
