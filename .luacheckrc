std = "lua54"
max_line_length = 120
codes = true
-- A variable that is there to be closed: local guard <close> = ...
ignore = { "211/guard", "211/ending" }
exclude_files = { "build*", "**/node_modules", "docs/api" }

-- Providers see the sandbox's globals, all of which are in lua54; specs have busted's besides.
files["spec"] = { std = "+busted" }
-- A wrk script sets the globals that wrk calls.
files["bench/load.lua"] = { globals = { "wrk", "done" } }
-- Runs in nginx-lua and in tidegate.
files["bench/json_decode.lua"] = { std = "min" }
-- config.lua sees `env` and nothing else.
files["**/config.lua"] = { std = "none", read_globals = { "env" } }
-- These are code of the framework, about such files.
for _, path in ipairs {
  "scripts/tide/api/config.lua", "scripts/tide/cli/config.lua", "scripts/tide/console/verbs/config.lua",
} do
  files[path] = { std = "lua54" }
end
