-- The weather of a city: an example to read, to change and to throw away. Its third party does not exist;
-- mock mode answers in its place.

local fail = require "tide.fail"
local text = require "tide.text"

-- What a mock may say; the city decides which.
local SKIES = { "clear", "cloudy", "rain", "snow" }


local function prepare(input)
  local city = text.trim(input.city)
  if city == "" then
    fail("invalid_input", "city must not be blank", { pointer = "#/city" })
  end
  return { city = city }
end


return {
  summary = "The weather of a city",
  auth = { scheme = "bearer", secret = "api_key" },

  config = {
    base_url = "https://api.weather.example/v1",
    timeout_seconds = 10,
    cache_ttl_seconds = 300,
    extra_config = { units = "celsius" },
  },

  operations = {
    current = {
      summary = "The weather as it is now",
      input = {
        type = "object", required = { "city" },
        properties = { city = { type = "string", maxLength = 100, examples = { "Seoul", "서울" } } },
      },
      output = {
        type = "object", required = { "city", "temperature", "sky" },
        properties = { city = { type = "string" }, temperature = { type = "number" }, sky = { enum = SKIES } },
      },
      prepare = prepare,
      cache = true,
      run = function(ctx, input)
        local response = ctx.http.get("/weather/{city}", {
          params = { city = input.city },
          query = { units = ctx.config.extra_config.units },
        })
        return { city = input.city, temperature = response.json.temperature, sky = response.json.sky }
      end,
      mock = function(_, input)
        return { city = input.city, temperature = #input.city % 30, sky = SKIES[#input.city % #SKIES + 1] }
      end,
    },
  },
}
