-- Certificates for specs, made on the spot by the openssl command, in a folder of a project.

local host = require "tide.host"

local M = {}

local NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"


local function openssl(folder, arguments)
  local command = ("cd '%s' && openssl %s >openssl.log 2>&1"):format(folder, arguments)
  if not os.execute(command) then
    error(command .. ": " .. host.read_file(folder .. "/openssl.log"), 0)
  end
end


-- An authority: NAME.pem and NAME.key. The text of the former.
function M.authority(folder, name)
  openssl(folder, ("req -x509 %s -subj /CN=%s -keyout %s.key -out %s.pem"):format(NEW_KEY, name, name, name))
  return (assert(host.read_file(folder .. "/" .. name .. ".pem")))
end


-- A certificate of 127.0.0.1 and localhost: NAME.pem and NAME.key. The texts of both.
function M.issue(folder, authority, name)
  openssl(folder, ("req -x509 %s -subj /CN=%s -addext subjectAltName=IP:127.0.0.1,DNS:localhost "
    .. "-addext basicConstraints=critical,CA:FALSE -CA %s.pem -CAkey %s.key -keyout %s.key -out %s.pem"):format(NEW_KEY,
    name, authority, authority, name, name))
  return (assert(host.read_file(folder .. "/" .. name .. ".pem"))),
    (assert(host.read_file(folder .. "/" .. name .. ".key")))
end


return M
