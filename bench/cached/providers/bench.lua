-- The parcel tracking of docs/providers.md, whose answers are kept.
return {
  summary = "Parcel tracking",
  operations = {
    track = {
      input = {
        type = "object", required = { "parcel" },
        properties = { parcel = { type = "string", pattern = "^[0-9-]{10,12}$" } },
      },
      prepare = function(input) return { parcel = (input.parcel:gsub("-", "")) } end,
      cache = true,
      run = function(_, input) return { parcel = input.parcel, state = "in_transit" } end,
      mock = function(_, input) return { parcel = input.parcel, state = "delivered" } end,
    },
    many = {
      -- Tracks one parcel `count` times, as a script does.
      input = { type = "object", properties = { count = { type = "integer" } } },
      run = function(ctx, input)
        for _ = 1, input.count do ctx.call("bench", "track", { parcel = "123-456-7890" }) end
        return {}
      end,
      mock = function() return {} end,
    },
  },
}
