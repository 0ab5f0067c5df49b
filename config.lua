-- Tidegate's own project: the bundled providers. docs/configuration.md has every key.
--
-- This file sees `env(name, default)` and nothing else. Relative paths are relative to its folder.
-- luacheck: read globals env

return {
  listen = "127.0.0.1:8080",
  workers = "auto", -- one per core
  store = env("TIDEGATE_STORE", "sqlite:var/tidegate.db"),
  providers = "providers",

  defaults = { timeout_seconds = 30 },

  integrations = {
    -- Company information of Nice D&B. Without TIDEGATE_NICE_DNB_APP_KEY (and _APP_SECRET) it is
    -- in MOCK MODE: its answers are made up from the input, no third party is reached, and
    -- `meta.mock` of every answer says so.
    nice_dnb = { is_mock_mode = env("TIDEGATE_NICE_DNB_APP_KEY") == nil },
  },
}
