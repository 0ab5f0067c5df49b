-- Expressions of Lua 5.4. Every node is { kind, line, … } with its children, in the order of the source, as its
-- list part:
--
--   nil true false vararg number string   `value`
--   name        `name`, and `variable` or `global` (see scopes.lua)
--   index       object, key; `name` when the key is a constant text
--   call        callee, arguments …          method   object, arguments …; `name`
--   function    body; `parameters`           table    items
--   item        value, or value and key; `name` when the key is a constant text, `is_positional`
--   binary      left, right; `operator`      unary    operand; `operator`      paren   the inner one

local M = {}

local UNARY = { ["not"] = true, ["-"] = true, ["#"] = true, ["~"] = true }
local UNARY_PRIORITY = 12

-- Priorities to the left and to the right.
local BINARY = {
  ["or"] = { 1, 1 }, ["and"] = { 2, 2 },
  ["<"] = { 3, 3 }, [">"] = { 3, 3 }, ["<="] = { 3, 3 }, [">="] = { 3, 3 }, ["~="] = { 3, 3 }, ["=="] = { 3, 3 },
  ["|"] = { 4, 4 }, ["~"] = { 5, 5 }, ["&"] = { 6, 6 }, ["<<"] = { 7, 7 }, [">>"] = { 7, 7 },
  [".."] = { 9, 8 }, ["+"] = { 10, 10 }, ["-"] = { 10, 10 },
  ["*"] = { 11, 11 }, ["/"] = { 11, 11 }, ["//"] = { 11, 11 }, ["%"] = { 11, 11 },
  ["^"] = { 14, 13 },
}

local LITERALS = { ["nil"] = "nil", ["true"] = "true", ["false"] = "false", ["..."] = "vararg" }


-- Expressions, as methods of the parser.
local Expressions = {}


function Expressions:expression_list(node)
  repeat
    node[#node + 1] = self:expression()
  until not self:accept(",")
  return node
end


-- `name = value`, `[key] = value` or a value.
function Expressions:item()
  local line = self.token.line
  if self.token.kind == "name" and self:peek().kind == "=" then
    local name = self:advance().value
    self:advance()
    return self:node("item", line, { name = name, self:expression() })
  end
  if self:accept("[") then
    local key = self:expression()
    self:expect("]")
    self:expect("=")
    return self:node("item", line, { name = key.kind == "string" and key.value or nil, self:expression(), key })
  end
  return self:node("item", line, { is_positional = true, self:expression() })
end


function Expressions:table_constructor()
  local result = self:node("table", self.token.line)
  self:expect("{")
  while self.token.kind ~= "}" do
    result[#result + 1] = self:item()
    if not (self:accept(",") or self:accept(";")) then
      break
    end
  end
  result.last_line = self.token.line
  self:expect("}")
  return result
end


function Expressions:parameters()
  local list = {}
  self:expect("(")
  while self.token.kind ~= ")" do
    if self:accept("...") then
      list.is_vararg = true
      break
    end
    local token = self:expect("name")
    list[#list + 1] = self.scopes:declare(token.value, token.line, "parameter")
    if not self:accept(",") then
      break
    end
  end
  self:expect(")")
  return list
end


-- A function from its parameters on; `is_method` has `self`.
function Expressions:function_body(line, is_method)
  local result = self:node("function", line)
  self.scopes:enter()
  if is_method then
    self.scopes:declare("self", line, "parameter")
  end
  result.parameters = self:parameters()
  result[1] = self:statements()
  result.last_line = self.token.line
  self:expect("end")
  self.scopes:leave()
  return result
end


-- "(a, b)", "{…}" or a text after a callee.
function Expressions:arguments(node)
  local token = self.token
  if token.kind == "string" then
    node[#node + 1] = self:literal()
  elseif token.kind == "{" then
    node[#node + 1] = self:table_constructor()
  else
    self:expect("(")
    if self.token.kind ~= ")" then
      self:expression_list(node)
    end
    self:expect(")")
  end
  return node
end


function Expressions:literal()
  local token = self:advance()
  return self:node(LITERALS[token.kind] or token.kind, token.line, { value = token.value })
end


function Expressions:name()
  local token = self:expect("name")
  local variable, global = self.scopes:use(token.value, token.line)
  return self:node("name", token.line, { name = token.value, variable = variable, global = global })
end


function Expressions:primary()
  local line = self.token.line
  if self:accept("(") then
    local inner = self:expression()
    self:expect(")")
    return self:node("paren", line, { inner })
  end
  return self:name()
end


-- `.name`, `[key]`, `:name(…)` and `(…)` after a primary, as many as there are.
function Expressions:suffix(node)
  local token = self.token
  if token.kind == "." then
    self:advance()
    local name = self:expect("name")
    local key = self:node("string", name.line, { value = name.value })
    return self:node("index", name.line, { name = name.value, node, key })
  elseif token.kind == "[" then
    self:advance()
    local key = self:expression()
    self:expect("]")
    return self:node("index", token.line, { name = key.kind == "string" and key.value or nil, node, key })
  elseif token.kind == ":" then
    self:advance()
    local name = self:expect("name").value
    return self:arguments(self:node("method", token.line, { name = name, node }))
  elseif token.kind == "(" or token.kind == "{" or token.kind == "string" then
    return self:arguments(self:node("call", token.line, { node }))
  end
end


function Expressions:suffixed()
  local node = self:primary()
  local longer = self:suffix(node)
  while longer do
    node = longer
    longer = self:suffix(node)
  end
  return node
end


function Expressions:simple()
  local token = self.token
  if LITERALS[token.kind] or token.kind == "number" or token.kind == "string" then
    return self:literal()
  elseif token.kind == "{" then
    return self:table_constructor()
  elseif token.kind == "function" then
    self:advance()
    return self:function_body(token.line)
  end
  return self:suffixed()
end


function Expressions:operand()
  local token = self.token
  if not UNARY[token.kind] then
    return self:simple()
  end
  self:advance()
  return self:node("unary", token.line, { operator = token.kind, self:expression(UNARY_PRIORITY) })
end


-- An expression whose operators bind more strongly than `limit`.
function Expressions:expression(limit)
  self:deeper()
  local left = self:operand()
  local priorities = BINARY[self.token.kind]
  while priorities and priorities[1] > (limit or 0) do
    local token = self:advance()
    left = self:node("binary", token.line, { operator = token.kind, left, self:expression(priorities[2]) })
    priorities = BINARY[self.token.kind]
  end
  self:shallower()
  return left
end


--- Gives a parser its expressions.
function M.extend(parser)
  for name, method in pairs(Expressions) do
    parser[name] = method
  end
end


return M
