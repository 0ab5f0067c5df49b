-- What this project serves. This file sees `env(name, default)` and nothing else; relative paths begin at its
-- folder; a change takes effect while the service runs. Every key: tidegate docs configuration
-- luacheck: read globals env

return {
  listen = "127.0.0.1:8080",
  store = env("TIDEGATE_STORE", "sqlite:var/tidegate.db"),

  integrations = {
    -- In mock mode until its key is there: answers are made up, nobody is asked, `meta.mock` says so.
    weather = { is_mock_mode = env("TIDEGATE_WEATHER_API_KEY") == nil },
  },
}
