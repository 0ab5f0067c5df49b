-- The certificates with which SNS signs, by their addresses: fetched once for all tasks of a worker, kept
-- for an hour.

local crypto = require "tide.crypto"
local http = require "tide.http"
local singleflight = require "tide.state.singleflight"
local time = require "tide.time"

local M = {}

-- Anybody can name an address at which there is nothing: that is remembered, for a shorter time when
-- the failure may have been the network's.
local KEPT_SECONDS, REFUSED_SECONDS, FAILED_SECONDS = 3600, 60, 2
local KEPT_MAX, REFUSED_MAX = 16, 64
-- Addresses that are fetched at a time.
local FETCHING_MAX = 4
local ADDRESS_BYTES_MAX, REGION_BYTES_MIN = 1024, 3

local Certificates = {}
Certificates.__index = Certificates


-- Whether an address is one of SNS, of any region, without a port.
function M.is_address(url)
  if type(url) ~= "string" or #url > ADDRESS_BYTES_MAX or not http.parse_url(url) then
    return false
  end
  local region = url:match("^https://sns%.([%w-]+)%.amazonaws%.com/")
    or url:match("^https://sns%.([%w-]+)%.amazonaws%.com%.cn/")
  return region ~= nil and #region >= REGION_BYTES_MIN
end


local function is_certificate_address(url)
  return M.is_address(url) and url:find("^[^?#]*%.pem$") ~= nil
end


-- What is kept of an address, while it is: { certificate } or { reason, code }.
local function kept(entries, url, now)
  local entry = entries[url]
  if entry and now < entry.until_seconds then
    return entry
  end
  entries[url] = nil
  return nil
end


-- Keeps an entry; when there are too many, the one that would be dropped first makes room.
local function keep(entries, limit, url, entry)
  local count, first = 0, nil
  for other, present in pairs(entries) do
    count = count + 1
    if not first or present.until_seconds < entries[first].until_seconds then
      first = other
    end
  end
  if count >= limit then
    entries[first] = nil
  end
  entries[url] = entry
end


-- The certificate in a file; nil when there is none that can be used.
local function certificate_in(text)
  local certificate = text:match("%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-.-%-%-%-%-%-END CERTIFICATE%-%-%-%-%-")
  if certificate and crypto.verify("rsa-sha256", certificate, "", "") ~= nil then
    return certificate .. "\n"
  end
  return nil
end


-- The certificate at an address; nil, a reason and a code: "unavailable" when it may be had later.
function Certificates:fetch(url)
  local text, words, code = self.get(url)
  local certificate = text and certificate_in(text)
  if certificate then
    return certificate
  end
  return nil, "the signing certificate cannot be had: " .. (words or "there is none at its address"),
    text and "refused" or code or "unavailable"
end


-- Notes that a task waits for an address, and that it does no more.
function Certificates:wait_for(url, change)
  local waiting = (self.waiting[url] or 0) + change
  self.addresses = self.addresses + (self.waiting[url] == nil and 1 or waiting == 0 and -1 or 0)
  self.waiting[url] = waiting > 0 and waiting or nil
end


-- Fetches once for all who wait, in all workers.
function Certificates:fetch_once(url)
  if not self.waiting[url] and self.addresses >= FETCHING_MAX then
    return nil, "too many signing certificates are being fetched", "overloaded"
  end
  self:wait_for(url, 1)
  local guard <close> = setmetatable({}, { __close = function() self:wait_for(url, -1) end })
  local key = "sns:" .. crypto.hex(crypto.digest("sha256", url))
  local ok, text, code = singleflight.run(key, function() return self:fetch(url) end)
  if ok then
    return text
  end
  return nil, text, code
end


-- Fetches, and keeps what came of it.
function Certificates:renew(url)
  local found, words, code = self:fetch_once(url)
  local now = time.monotonic()
  if found then
    keep(self.certificates, KEPT_MAX, url, { certificate = found, until_seconds = now + KEPT_SECONDS })
    return found
  end
  local is_refused = code == "refused"
  if code ~= "overloaded" then
    local until_seconds = now + (is_refused and REFUSED_SECONDS or FAILED_SECONDS)
    keep(self.refusals, REFUSED_MAX, url, { reason = words, code = code, until_seconds = until_seconds })
  end
  return nil, words, code
end


--- The certificate at an address, in PEM; nil and a reason, with "unavailable" when it may be had later.
---@return string|nil certificate, string? reason, string? code
function Certificates:find(url)
  if not is_certificate_address(url) then
    return nil, "SigningCertURL is not an address of SNS"
  end
  local now = time.monotonic()
  local present = kept(self.certificates, url, now)
  if present then
    return present.certificate
  end
  local refusal = kept(self.refusals, url, now)
  local found, reason, code
  if refusal then
    reason, code = refusal.reason, refusal.code
  else
    found, reason, code = self:renew(url)
  end
  return found, reason, code ~= "refused" and code ~= nil and "unavailable" or nil
end


--- `get(url)` gives what is at an address; nil, a message and a code, "refused" when there is nothing.
function M.new(get)
  return setmetatable({ get = get, certificates = {}, refusals = {}, waiting = {}, addresses = 0 }, Certificates)
end


return M
