---@meta tide.fail

--- Says what went wrong, from anywhere in a provider. The module is the function:
---
---     local fail = require "tide.fail"
---     fail("not_found", "there is no parcel " .. input.parcel)
---
--- Never returns. What it raises can be caught with `pcall`: a table with `code`, `message`,
--- the fields, and `where` (FILE:LINE). Any other value that a provider raises becomes
--- `script_error`, with its traceback in the log only.
---
--- Codes that a provider raises itself: `invalid_input` (with `pointer`), `not_found`,
--- `rejected`, `conflict`, `rate_limited` (with `retry_after`), `upstream_auth`,
--- `upstream_error`, `network_error`, `timeout`, `not_configured`, `unavailable`. An unknown
--- code raises.
---
--- Fields:
---  - `pointer`     which part of the input: "#/business_number"
---  - `retry_after` seconds to wait at least
---  - `retryable`   false: do not try again in this call
---  - `status`      the upstream's status
---  - any other     kept on the error, never shown outside
---@overload fun(code: string, message?: string, fields?: table)
local fail = {}

--- "tide.fail"
fail.name = nil

return fail
