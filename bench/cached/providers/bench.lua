-- A look-up whose answers are kept: what a portal asks most.
return {
  summary = "Company look-up",
  operations = {
    look_up = {
      input = {
        type = "object", required = { "number" },
        properties = { number = { type = "string", pattern = "^[0-9]{3}-?[0-9]{2}-?[0-9]{5}$" } },
      },
      prepare = function(input) return { number = (input.number:gsub("-", "")) } end,
      cache = true,
      run = function(_, input)
        return { number = input.number, name = "Acme Trading", state = "active", employees = 312,
          address = { postal_code = "04117", road = "217 Mapo-daero", city = "Seoul" }, founded = "2002-10-12" }
      end,
      mock = function(_, input) return { number = input.number } end,
    },
    many = {
      -- Calls the look-up `count` times, as a script does.
      input = { type = "object", properties = { count = { type = "integer" } } },
      run = function(ctx, input)
        for _ = 1, input.count do ctx.call("bench", "look_up", { number = "124-81-00998" }) end
        return {}
      end,
      mock = function() return {} end,
    },
  },
}
