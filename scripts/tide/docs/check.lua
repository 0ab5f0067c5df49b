-- Writes docs/check.md from the rules of the review.

local review = require "tide.review"

local M = {}

local INTRODUCTION = [[
# What `tidegate check` finds

This page is generated from the rules themselves: `make docs` writes it anew.

```sh
tidegate check
```

It loads `config.lua`, every provider, the migrations and the certificate as the service would, starts nothing, and
reviews what it has loaded: `config.lua`, the files of `providers/` and the shared ones of `scripts/`. Bundled
providers are not reviewed. Each finding is one line on standard error, with the place and what to do:

    providers/acme.lua:12: ctx has no lgo (did you mean log?) (unknown_member)
    providers/acme.lua:3: warning: the local a is never used: remove it, or call it _a (unused_local)

What does not load, and every **error** below, ends the check with exit status 1. An error is what fails or leaks when
it runs. A **warning** is what does no harm today: the check still passes, and with `--strict` it does not.

`--json` prints the findings for a program, also when the check fails: `{"ok": false, "findings": [{"file", "line",
"rule", "severity", "message"}]}`. The rule of what does not load is `load`; `line` is left out where it is not known.

A finding that is meant to be is allowed in the line itself or in the comment right above it, with the reason:

```lua
-- check: allow undeclared_host (the address is shown to people, nothing is sent to it)
local PAGE = "https://parcels.example/help"
```

At most 200 findings are shown of a file. A file of more than a million parts (names, texts, operators) is loaded and
not reviewed, with a warning.

## Rules

| rule | is | finds |
| --- | --- | --- |
]]

local LIMITS = [[

The review reads sources and runs nothing of them, so it knows what is written down: an address that is put together
at run time, a secret whose name is computed, a member of a table that was passed on are not looked into, and what may
be right is not found. Keys of the provider's table, of operations, webhooks and of the configuration that are
unknown, misspelt or of a wrong type do not load at all; so do schemas with unknown keywords.
]]


--- The page.
---@return string
function M.render()
  local parts = { INTRODUCTION }
  for _, rule in ipairs(review.rules()) do
    parts[#parts + 1] = ("| `%s` | %s | %s |\n"):format(rule.name, rule.severity, (rule.describe:gsub("|", "\\|")))
  end
  parts[#parts + 1] = LIMITS
  return table.concat(parts)
end


return M
