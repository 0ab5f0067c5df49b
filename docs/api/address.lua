---@meta tide.address

--- IP addresses and the networks that hold them (framework).
local address = {}

--- A set of networks: "10.0.0.0/8", "2001:db8::/32", single addresses. At most 10,000.
---@param list string[]
---@return Networks|nil, string? message, string? code "invalid_input"
function address.networks(list) end


---@class Networks
local Networks = {}

--- Whether one of them holds an address, without brackets and port; false for what is no address.
--- An IPv4 address that came as IPv6 (::ffff:10.0.0.1) counts as IPv4.
---@param text string
---@return boolean
function Networks:contain(text) end

return address
