---@meta tide.state.refusals

--- How often who was refused in the last second, over all workers (framework). It knows the last 4,096 or
--- so that were; others are counted anew.
local refusals = {}

--- Notes a refusal, of an address without brackets and port or of any other name. False when there have
--- been 20 in the second that ends now for which it was true. Addresses of IPv6 that have the first
--- 64 bits in common count as one.
---@param who string
---@return boolean is_in_limit
function refusals.note(who) end

return refusals
