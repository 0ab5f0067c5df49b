---@meta tide.xml

--- XML read into tables, for answers of services that speak nothing else.
---
---     local answer = assert(xml.decode(res.body))
---     if xml.text(answer, "cmmMsgHeader/returnCode") ~= "00" then … end
---     for _, item in ipairs(xml.find(answer, "newAddressListAreaCd")) do
---       local fields = xml.fields(item)                      -- fields.zipNo, fields.lnmAdres
---     end
---
--- Whatever a document says, nothing outside it is read, and no entity but the five of XML is
--- expanded: a document type with declarations of its own is refused. Prefixes of name spaces
--- stay as they are written (`soap:Body`). At most 8 MiB, 100 levels, and 200,000 elements
--- and attributes.
local xml = {}

--- An element is a plain table. Where text and elements alternate (`a <b>c</b> d`), `text` is
--- all that stands directly in the element, joined (`a  d`).
---@class XmlElement
---@field name string "item", "soap:Body"
---@field attributes table<string, string>
---@field text string without the white space at its two ends, unless `space` is "keep"
---@field children XmlElement[] in their order; carries the array mark of tide.json

--- Decodes a document and returns its outermost element. The encoding is the one that the
--- document declares or its byte order mark tells: UTF-8, UTF-16, ISO-8859-1, US-ASCII, or
--- EUC-KR (also by the names KS_C_5601-1987, CP949, MS949, UHC, windows-949, and always read
--- as CP949, its superset). `encoding` overrules a declaration that is wrong.
---@param text string
---@param options? { encoding?: string, space?: "keep" }
---@return XmlElement|nil element, string? message "LINE:COLUMN: what is wrong", counted from 1
---@return string? code "invalid_xml", "invalid_encoding", "too_large", "out_of_memory"
function xml.decode(text, options) end

--- All elements that a path leads to, in the document's order: "body/items/item" goes from
--- `element` to its children called `body`, to theirs called `items`, and so on. `*` stands
--- for any name. A path that begins with "/" names `element` itself first: "/response/body".
---@param element XmlElement
---@param path string
---@return XmlElement[] found empty when there are none
function xml.find(element, path) end

--- The first of them, or nil.
---@param element XmlElement
---@param path string
---@return XmlElement|nil
function xml.first(element, path) end

--- The text of the first of them; "" for an empty element, nil for none.
---@param element XmlElement
---@param path string
---@return string|nil
function xml.text(element, path) end

--- The texts of the element's children by their names; of equal names the first counts.
---@param element XmlElement
---@return table<string, string>
function xml.fields(element) end

return xml
