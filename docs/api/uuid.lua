---@meta tide.uuid

local uuid = {}

--- A version 7 UUID (time-ordered), as text in lower case.
---@return string
function uuid.v7() end
--- A version 4 UUID.
---@return string
function uuid.v4() end
--- Whether `text` is a UUID of any version, in the canonical form.
---@return boolean
function uuid.is_valid(text) end

return uuid
