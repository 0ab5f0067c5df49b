-- The formats that `format` asserts: name -> what it is called, and whether a text is one.

local re = require "tide.re"

local M = {}


local DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }


local function is_date(text)
  local year, month, day = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
  if not year then
    return false
  end
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if month < 1 or month > 12 or day < 1 then
    return false
  end
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return day <= ((month == 2 and leap) and 29 or DAYS[month])
end


local function in_range(text, highest)
  return tonumber(text) <= highest
end


-- A leap second is 23:59:60 in UTC, so at another offset it stands at another time.
local function is_leap_second(hour, minute, zone)
  local sign, zone_hour, zone_minute = zone:match("^([+-])(%d%d):(%d%d)$")
  local shift = sign and (zone_hour * 60 + zone_minute) * (sign == "+" and -1 or 1) or 0
  return math.tointeger((hour * 60 + minute + shift) % 1440) == 1439
end


local function is_time(text)
  local hour, minute, second, rest = text:match("^(%d%d):(%d%d):(%d%d)(.*)$")
  if not hour or not in_range(hour, 23) or not in_range(minute, 59) then
    return false
  end
  local zone = rest:gsub("^%.%d+", "")
  if zone:match("^[zZ]$") then
    zone = "Z"
  else
    local zone_hour, zone_minute = zone:match("^[+-](%d%d):(%d%d)$")
    if not zone_hour or not in_range(zone_hour, 23) or not in_range(zone_minute, 59) then
      return false
    end
  end
  if second == "60" then
    return is_leap_second(tonumber(hour), tonumber(minute), zone)
  end
  return in_range(second, 59)
end


local function is_date_time(text)
  local date, time = text:match("^(%d%d%d%d%-%d%d%-%d%d)[tT](.+)$")
  return date ~= nil and is_date(date) and is_time(time)
end


local function is_duration(text)
  if text:match("^P%d+W$") then
    return true
  end
  local date, time = text:match("^P([^T]*)T(.+)$")
  date = date or text:match("^P([^T]+)$")
  if not date then
    return false
  end
  -- The units must stand in order, each at most once.
  local rest = date:gsub("^%d+Y", ""):gsub("^%d+M", ""):gsub("^%d+D", "")
  if rest ~= "" then
    return false
  end
  return time == nil or time:gsub("^%d+H", ""):gsub("^%d+M", ""):gsub("^%d+S", "") == ""
end


local function is_hostname(text)
  if #text == 0 or #text > 253 then
    return false
  end
  for label in (text .. "."):gmatch("([^.]*)%.") do
    if #label > 63 or not label:match("^%w[%w-]*$") or label:sub(-1) == "-" then
      return false
    end
  end
  return true
end


local function is_ipv4(text)
  local parts = { text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$") }
  for _, part in ipairs(parts) do
    if #part > 3 or tonumber(part) > 255 or (#part > 1 and part:sub(1, 1) == "0") then
      return false
    end
  end
  return #parts == 4
end


-- The number of 16-bit groups in a piece of an IPv6 address, nil when it is not one.
local function count_groups(piece, ipv4_allowed)
  if piece == "" then
    return 0
  end
  local count = 0
  local list = piece .. ":"
  for group in list:gmatch("([^:]*):") do
    if ipv4_allowed and group:find(".", 1, true) and list:sub(-#group - 1) == group .. ":" then
      if not is_ipv4(group) then
        return nil
      end
      count = count + 2
    elseif group:match("^%x%x?%x?%x?$") then
      count = count + 1
    else
      return nil
    end
  end
  return count
end


local function is_ipv6(text)
  if #text > 45 then
    return false
  end
  local before, after = text:match("^(.-)::(.*)$")
  if not before then
    return count_groups(text, true) == 8
  end
  if after:find("::", 1, true) then
    return false
  end
  local first, second = count_groups(before, false), count_groups(after, true)
  return first ~= nil and second ~= nil and first + second <= 7
end


local function is_email(text)
  if #text > 254 then
    return false
  end
  local user, host = text:match("^(.+)@([^@]+)$")
  if not user or #user > 64 then
    return false
  end
  if not user:match("^\"[^%c\"\\]*\"$") then
    local atoms = user:match("^[%w!#$%%&'*+/=?^_`{|}~.-]+$")
    if not atoms or atoms:match("^%.") or atoms:match("%.$") or atoms:find("..", 1, true) then
      return false
    end
  end
  local literal = host:match("^%[(.*)%]$")
  if literal then
    local v6 = literal:match("^IPv6:(.*)$")
    return v6 and is_ipv6(v6) or is_ipv4(literal)
  end
  return is_hostname(host)
end


local function has_bad_percent(text)
  return text:gsub("%%%x%x", ""):find("%", 1, true) ~= nil
end


local function is_authority(authority)
  local host = authority:match("@(.*)$") or authority
  if host:find("@", 1, true) then
    return false
  end
  local v6, port = host:match("^%[([^%]]*)%](.*)$")
  if v6 then
    local address = is_ipv6(v6) or v6:match("^v%x+%.[%w._~!$&'()*+,;=:-]+$") ~= nil
    return address and (port == "" or port:match("^:%d*$") ~= nil)
  end
  return host:match("^[^:%[%]]*$") ~= nil or host:match("^[^:%[%]]*:%d*$") ~= nil
end


local function is_uri_reference(text)
  if text:find("[^%w%-._~:/?#%[%]@!$&'()*+,;=%%]") or has_bad_percent(text) then
    return false
  end
  local hierarchy, fragment = text:match("^([^#]*)#?(.*)$")
  if fragment:find("[#%[%]]") then
    return false
  end
  local authority = hierarchy:match("^[%w+.-]*:?//([^/?]*)")
  if authority and not is_authority(authority) then
    return false
  end
  local rest = authority and hierarchy:gsub("^[%w+.-]*:?//[^/?]*", "") or hierarchy
  return not rest:find("[%[%]]")
end


local function is_uri(text)
  return text:match("^%a[%w+.-]*:.") ~= nil and is_uri_reference(text)
end


local function is_url(text)
  return text:match("^[hH][tT][tT][pP][sS]?://[^/?#]") ~= nil and is_uri(text)
end


local function is_uuid(text)
  return #text == 36 and text:match("^%x+%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x+$") ~= nil
    and text:sub(9, 9) == "-"
end


local function is_json_pointer(text)
  return text == "" or (text:sub(1, 1) == "/" and not text:gsub("~[01]", ""):find("~", 1, true))
end


local function is_regex(text)
  return re.compile(text) ~= nil
end


local function with_ascii(check)
  return function(text)
    return utf8.len(text) ~= nil and check((text:gsub("[\x80-\xFF]+", "a")))
  end
end


-- The article and name are read in "must be …".
M.formats = {
  ["date-time"] = { "a date and time such as 2026-01-15T09:00:00Z", is_date_time },
  date = { "a date such as 2026-01-15", is_date },
  time = { "a time such as 09:00:00Z", is_time },
  duration = { "a duration such as P3DT12H", is_duration },
  email = { "an e-mail address", is_email },
  ["idn-email"] = { "an e-mail address", with_ascii(is_email) },
  hostname = { "a host name", is_hostname },
  ["idn-hostname"] = { "a host name", with_ascii(is_hostname) },
  ipv4 = { "an IPv4 address", is_ipv4 },
  ipv6 = { "an IPv6 address", is_ipv6 },
  uri = { "an absolute URI", is_uri },
  ["uri-reference"] = { "a URI reference", is_uri_reference },
  iri = { "an absolute IRI", with_ascii(is_uri) },
  ["iri-reference"] = { "an IRI reference", with_ascii(is_uri_reference) },
  url = { "an http or https URL", is_url },
  uuid = { "a UUID", is_uuid },
  ["json-pointer"] = { "a JSON pointer", is_json_pointer },
  regex = { "a regular expression", is_regex },
}


return M
