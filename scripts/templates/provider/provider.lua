-- NEW_NAME: what it is, and where its documentation is. Lines with "<--" are yours to fill in.
--
-- tidegate check                                         reviews this file
-- tidegate test spec/NEW_NAME_spec.lua                   runs its spec
-- tidegate call NEW_NAME find id=a-1 --mock              answers without the third party
-- NEW_VARIABLE=… tidegate call NEW_NAME find id=a-1      asks the third party

local fail = require "tide.fail"


-- Pure, after the schema and before the cache: makes equal questions equal, or refuses them.
local function prepare(input)
  local id = input.id:lower()
  if id:match("^%-") then
    fail("invalid_input", "no id begins with a hyphen", { pointer = "#/id" })                           -- <--
  end
  return { id = id }
end


return {
  summary = "What NEW_NAME is for",                                                                     -- <--

  -- A scheme: bearer, basic, api_key, token, oauth2, sigv4. `secret` is the name of a secret, never its value:
  -- the value is in the environment, as NEW_VARIABLE.
  auth = { scheme = "bearer", secret = "api_key" },                                                     -- <--

  -- Defaults. Each can be changed in config.lua and while the service runs.
  config = {
    base_url = "https://api.vendor.example/v1",                                                         -- <--
    timeout_seconds = 10,
    cache_ttl_seconds = 600,
  },

  -- Hosts that it may reach besides the one of base_url:
  -- hosts = { "files.vendor.example" },

  operations = {
    find = {                                                                                            -- <--
      summary = "One thing by its id",
      input = {
        type = "object", required = { "id" },
        properties = { id = { type = "string", pattern = "^[A-Za-z0-9-]{1,40}$" } },
      },
      output = {
        type = "object", required = { "id", "state" },
        properties = { id = { type = "string" }, state = { type = "string" } },
      },
      prepare = prepare,
      cache = true, -- results are kept for cache_ttl_seconds; leave it out where each call must be made
      run = function(ctx, input)
        local response = ctx.http.get("/things/{id}", { params = { id = input.id } })                   -- <--
        return { id = input.id, state = response.json.state }
      end,
      -- Realistic, derived from the input, without a request.
      mock = function(_, input)
        return { id = input.id, state = "ready" }                                                       -- <--
      end,
    },
  },

  -- What the third party tells by itself, at /api/v1/webhooks/NEW_NAME; leave it out where it tells nothing.
  -- The signature is checked with the secret webhook_secret.
  webhooks = {
    signature = { scheme = "hmac-sha256", header = "X-Signature" },                                     -- <--
    event_type = "type", -- members of the payload
    event_id = "id",
    on = {
      ["thing.changed"] = function(ctx, event)                                                          -- <--
        return { forgotten = ctx.cache.forget("find", { id = event.payload.thing }) }
      end,
      ["thing.seen"] = false, -- known, and nothing to do
    },
  },
}
