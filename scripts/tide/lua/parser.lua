-- A reader of Lua 5.4: the tree of a source, with every name resolved. For what has been compiled already; what
-- only the compiler refuses (a goto to nowhere, 201 locals) is not refused here.
--
-- Statements are nodes as expressions.lua has them:
--
--   block       statements                   local     values; `variables`
--   assign      targets, values; `targets`, how many targets there are
--   do while repeat if for in                their conditions and blocks, in order; `variables` of a loop
--   return      values                       function_statement   target, function
--   local_function   function; `variable`    goto label break     `name`
--   call method                              a call that stands by itself

local expressions = require "tide.lua.expressions"
local scanner = require "tide.lua.scanner"
local scopes = require "tide.lua.scopes"

local M = {}

-- As deep as Lua's own compiler goes.
M.MAX_DEPTH = 200
M.MAX_NODES = 1000000

local Parser = {}
Parser.__index = Parser
expressions.extend(Parser)


-- Tokens ------------------------------------------------------------------------------------------


function Parser:fault(words)
  error({ line = self.token.line, message = words }, 0)
end


-- The present token, moving behind it.
function Parser:advance()
  local token = self.token
  self.token = self.ahead or self.scanner:next()
  self.ahead = nil
  return token
end


function Parser:peek()
  self.ahead = self.ahead or self.scanner:next()
  return self.ahead
end


function Parser:accept(kind)
  return self.token.kind == kind and self:advance() or nil
end


function Parser:expect(kind)
  if self.token.kind ~= kind then
    self:fault(("%s expected near %s"):format(kind, self.token.kind))
  end
  return self:advance()
end


-- Nodes -------------------------------------------------------------------------------------------


function Parser:node(kind, line, members)
  self.nodes = self.nodes + 1
  if self.nodes > M.MAX_NODES then
    self:fault(("more than %d parts"):format(M.MAX_NODES))
  end
  local node = members or {}
  node.kind, node.line = kind, line
  return node
end


function Parser:deeper()
  self.depth = self.depth + 1
  if self.depth > M.MAX_DEPTH then
    self:fault(("nested more than %d deep"):format(M.MAX_DEPTH))
  end
end


function Parser:shallower()
  self.depth = self.depth - 1
end


-- Blocks ------------------------------------------------------------------------------------------


local BLOCK_END = { ["end"] = true, ["else"] = true, ["elseif"] = true, ["until"] = true, eof = true }


-- Statements up to the end of a block, in the scope of whoever calls.
function Parser:statements()
  local block = self:node("block", self.token.line)
  while not BLOCK_END[self.token.kind] do
    local is_last = self.token.kind == "return"
    block[#block + 1] = self:statement()
    if is_last then
      break
    end
  end
  return block
end


function Parser:block()
  self.scopes:enter()
  local block = self:statements()
  self.scopes:leave()
  return block
end


-- Statements --------------------------------------------------------------------------------------


local Statement = {}


Statement["do"] = function(self, line)
  local node = self:node("do", line, { self:block() })
  self:expect("end")
  return node
end


Statement["while"] = function(self, line)
  local node = self:node("while", line, { self:expression() })
  self:expect("do")
  node[2] = self:block()
  self:expect("end")
  return node
end


-- The condition sees the locals of the block.
Statement["repeat"] = function(self, line)
  self.scopes:enter()
  local node = self:node("repeat", line, { self:statements() })
  self:expect("until")
  node[2] = self:expression()
  self.scopes:leave()
  return node
end


Statement["if"] = function(self, line)
  local node = self:node("if", line)
  repeat
    node[#node + 1] = self:expression()
    self:expect("then")
    node[#node + 1] = self:block()
  until not self:accept("elseif")
  if self:accept("else") then
    node[#node + 1] = self:block()
  end
  self:expect("end")
  return node
end


-- The values come before the names are known.
Statement["for"] = function(self, line)
  local names = { self:expect("name") }
  local kind = self.token.kind == "=" and "for" or "in"
  while kind == "in" and self:accept(",") do
    names[#names + 1] = self:expect("name")
  end
  self:expect(kind == "for" and "=" or "in")
  local node = self:expression_list(self:node(kind, line, { variables = {} }))
  self:expect("do")
  self.scopes:enter()
  for i, token in ipairs(names) do
    node.variables[i] = self.scopes:declare(token.value, token.line, "loop")
  end
  node[#node + 1] = self:block()
  self.scopes:leave()
  self:expect("end")
  return node
end


Statement["function"] = function(self, line)
  local target, is_method = self:name(), false
  while self.token.kind == "." or self.token.kind == ":" do
    is_method = self:advance().kind == ":"
    local name = self:expect("name")
    target = self:node("index", name.line, { name = name.value, target,
      self:node("string", name.line, { value = name.value }) })
    if is_method then
      break
    end
  end
  self:settle_target(target)
  return self:node("function_statement", line, { target, self:function_body(line, is_method) })
end


function Parser:local_function(line)
  local token = self:expect("name")
  local variable = self.scopes:declare(token.value, token.line, "function")
  local node = self:node("local_function", line, { variable = variable })
  variable.value = self:function_body(line)
  node[1] = variable.value
  return node
end


function Parser:attribute()
  if not self:accept("<") then
    return nil
  end
  local name = self:expect("name").value
  self:expect(">")
  return name
end


Statement["local"] = function(self, line)
  if self:accept("function") then
    return self:local_function(line)
  end
  local names = {}
  repeat
    local token = self:expect("name")
    names[#names + 1] = { name = token.value, line = token.line, attribute = self:attribute() }
  until not self:accept(",")
  local node = self:node("local", line, { variables = {} })
  if self:accept("=") then
    self:expression_list(node)
  end
  for i, name in ipairs(names) do
    local variable = self.scopes:declare(name.name, name.line, "local", name.attribute)
    variable.value = node[i]
    node.variables[i] = variable
  end
  return node
end


Statement["return"] = function(self, line)
  local node = self:node("return", line)
  if not BLOCK_END[self.token.kind] and self.token.kind ~= ";" then
    self:expression_list(node)
  end
  self:accept(";")
  return node
end


Statement["goto"] = function(self, line)
  return self:node("goto", line, { name = self:expect("name").value })
end


Statement["::"] = function(self, line)
  local node = self:node("label", line, { name = self:expect("name").value })
  self:expect("::")
  return node
end


Statement["break"] = function(self, line)
  return self:node("break", line)
end


Statement[";"] = function(self, line)
  return self:node("empty", line)
end


-- Assignments -------------------------------------------------------------------------------------


-- A name that is assigned to is written, not read.
function Parser:settle_target(target)
  if target.kind == "name" and target.variable then
    target.variable.reads = target.variable.reads - 1
    target.variable.writes = target.variable.writes + 1
  elseif target.kind == "name" then
    target.global.is_write = true
  elseif target.kind ~= "index" then
    self:fault("an assignment to what is no variable")
  end
end


function Parser:expression_statement(line)
  local first = self:suffixed()
  if self.token.kind ~= "=" and self.token.kind ~= "," then
    if first.kind ~= "call" and first.kind ~= "method" then
      self:fault("a statement is expected")
    end
    return first
  end
  local node = self:node("assign", line, { first })
  while self:accept(",") do
    node[#node + 1] = self:suffixed()
  end
  node.targets = #node
  self:expect("=")
  for i = 1, node.targets do
    self:settle_target(node[i])
  end
  return self:expression_list(node)
end


function Parser:statement()
  self:deeper()
  local line = self.token.line
  local read = Statement[self.token.kind]
  local node
  if read then
    self:advance()
    node = read(self, line)
  else
    node = self:expression_statement(line)
  end
  self:shallower()
  return node
end


-- Whole -------------------------------------------------------------------------------------------


local function read(text)
  local own = setmetatable({ scanner = scanner.new(text), scopes = scopes.new(), depth = 0, nodes = 0 }, Parser)
  own.token = own.scanner:next()
  own.scopes:enter()
  local tree = own:statements()
  own:expect("eof")
  own.scopes:leave()
  return {
    tree = tree, globals = own.scopes.globals, variables = own.scopes.variables, comments = own.scanner.comments,
  }
end


--- Reads a source.
---@param text string
---@return table|nil source { tree, globals, variables, comments }, string? message, integer? line
function M.parse(text)
  local ok, result = pcall(read, text)
  if ok then
    return result
  end
  if type(result) ~= "table" then
    error(result, 0)
  end
  return nil, result.message, result.line
end


return M
