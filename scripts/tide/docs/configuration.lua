-- Writes docs/configuration.md from the settings schema.

local json = require "tide.json"
local schema = require "tide.settings.schema"
local settings_type = require "tide.settings.type"

local M = {}

local INTRODUCTION = [[
# Configuration

This page is generated from the settings schema: `make docs` writes it anew.

`config.lua` returns a table. It sees the function `env(name, default)`, which reads a variable of
the environment, and nothing else. Relative paths in it are relative to its folder. An unknown key
or a wrong type is an error at start that names the key, what was expected, and the line.

```lua
return {
  listen = "127.0.0.1:8080",
  defaults = { timeout_seconds = 20 },
  integrations = {
    nice_dnb = { is_mock_mode = env("TIDEGATE_NICE_DNB_APP_KEY") == nil },
    drive2 = { provider = "drive" },
  },
}
```
]]

local LAYERS = [[
## Keys of an integration

They stand in `defaults`, in `integrations.NAME` and in the `config` of a provider. The effective
value is the last of:

1. the built-in value below,
2. `config` of the provider file,
3. `defaults`,
4. `integrations.NAME`,
5. the environment: `TIDEGATE_NAME_KEY`, in capitals (`TIDEGATE_NICE_DNB_BASE_URL`); tables and
   lists as JSON,
6. changes made [while the service runs](operations.md#change-the-configuration-while-it-runs).

`extra_config` is merged key by key across these layers; `null` removes a key. "Admin" marks keys
whose change at run time needs the role admin; a key that is not "live" changes only in
`config.lua`.
]]

local SECRETS = [[
## Secrets

A secret that a provider declares is read from `TIDEGATE_NAME_SECRET` (`TIDEGATE_NICE_DNB_APP_KEY`
is `ctx.secret("app_key")` of `nice_dnb`), or from the file that `TIDEGATE_NAME_SECRET_FILE`
names: without the line break at its end, at most 64 KB, and again within two seconds when it
changes. Two names that would share a variable are an error at start.

While the service runs, an administrator stores secrets, which beat the environment and outlive a
restart:

```sh
tidegate secret set acme webhook_secret < new-secret       # from standard input, never an argument
tidegate secret rotate acme webhook_secret < new-secret    # the value of before stays good for a day
tidegate secret rotate acme webhook_secret --keep 600 < new-secret
tidegate secret list acme                                  # names, sources and dates, never values
tidegate secret delete acme webhook_secret                 # the environment's value, or none
tidegate secret rekey                                      # all of them under the first master key
```

The same over HTTP: `GET /api/v1/integrations/acme/secrets`, and `PUT` (`{"value",
"keep_previous_seconds"}`) and `DELETE` of `…/secrets/webhook_secret`. What is answered is
committed and in effect on every worker; the audit log says who did it. The value is 1 to 65,536
bytes of text; all secrets of a process together are at most 256 KB, of which what is stored may
take all but 32 KB.

With `keep_previous_seconds` the value of before, wherever it came from, stays good for so long
beside the new one: signatures of webhooks are checked against both, `ctx.secret` gives the new
one. There is one previous value: a further change replaces it, and without time for it, it ends at
once. The same value again changes nothing, but with another `keep_previous_seconds` it shortens how
long the previous one stays good: 0 ends it.

### The master key

Secrets are stored with AES-256-GCM under `TIDEGATE_MASTER_KEY`: 32 bytes in base64, as
`openssl rand -base64 32` prints them. Without it nothing can be stored (`not_configured`), and the
environment's secrets serve as ever. `TIDEGATE_MASTER_KEY_FILE` names a file with the same, which is read
again when it changes.

To change the key, put the new one before the old one, separated by a comma: the first encrypts, all
decrypt. At the start, and when the file has changed, what is stored goes under the first; `tidegate secret
rekey` does so too and says how many there were (`resealed`) and how many no key opens (`left`). Then the
old one may be left out; keep it with the backups that were made under it.

A malformed key, or one that is not that of a row, leaves what is stored as it is and the secret
missing (`not_configured`), even where the environment has one, which may have been replaced long
ago. The log and `/health` say why. Set the secret again, or delete it, if the key is lost.
]]


local function cell(text)
  return (text:gsub("|", "\\|"))
end


local function default_text(key)
  if key.default == nil then
    return ""
  end
  if type(key.default) == "table" then
    if next(key.default) == nil then
      return "`{}`"
    end
    return "`{ " .. table.concat(key.default, ", ") .. " }`"
  end
  return "`" .. json.encode(key.default) .. "`"
end


local function type_text(key)
  if key.values then
    return '"' .. table.concat(key.values, '", "') .. '"'
  end
  local label = settings_type.types[key.type].label
  if key.min and key.max then
    return ("%s, %s to %s"):format(label, key.min, key.max)
  end
  return label
end


-- A row of a table: key, type, default, description.
function M.row(key)
  return ("| `%s` | %s | %s | %s |"):format(key.name, cell(type_text(key)), cell(default_text(key)),
    cell(key.description))
end


local function top_table(lines)
  lines[#lines + 1] = "## Top keys\n\n| key | type | default | what it does |"
  lines[#lines + 1] = "| --- | --- | --- | --- |"
  for _, key in ipairs(schema.top) do
    lines[#lines + 1] = M.row(key)
  end
end


local function integration_table(lines)
  lines[#lines + 1] = "| key | type | default | live | what it does |"
  lines[#lines + 1] = "| --- | --- | --- | --- | --- |"
  for _, key in ipairs(schema.integration) do
    local live = key.live and (key.admin and "admin" or "yes") or "no"
    lines[#lines + 1] = ("| `%s` | %s | %s | %s | %s |"):format(key.name, cell(type_text(key)),
      cell(default_text(key)), live, cell(key.description))
  end
end


--- The whole page.
---@return string
function M.render()
  local lines = { INTRODUCTION }
  top_table(lines)
  lines[#lines + 1] = "\n" .. LAYERS
  integration_table(lines)
  lines[#lines + 1] = "\n" .. SECRETS
  return (table.concat(lines, "\n"):gsub("%s+$", "")) .. "\n"
end


return M
