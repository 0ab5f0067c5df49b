---@meta tide.template

--- Text with values put in, for mails and messages.
---
---     local letter = assert(template.compile [[
---     <p>{{ user.name }}</p>
---     {{#if items}}<ul>
---     {{#each items}}
---       <li>{{ this.title }}: {{ this.price }}</li>
---     {{/each}}
---     </ul>{{else}}<p>nothing</p>{{/if}}
---     {{{ footer }}} {{! written as it is }}
---     ]])
---     local html = assert(letter { user = user, items = items, footer = footer })
---
--- **Values.** `{{ a.b }}` is the member `b` of the value `a`: text, a number (a whole one
--- without a fraction) or a boolean. `{{{ a }}}` is not escaped for HTML. Names begin with a
--- letter or `_`; letters of any script, digits, `_` and `-` follow. A value is never read as
--- a template, and metatables of values are not asked (the views of `ctx` are looked into).
---
--- **Blocks.** `{{#if a}}…{{else}}…{{/if}}`: absent, null, false, empty text and an empty table
--- count as no. `{{#each list}}…{{else}}…{{/each}}`: once for each item, which is called `this`
--- inside; other names stay those outside; `else` is for an empty list. The tag of a block, and a
--- comment (`{{! … }}`, `{{!-- … --}}`), alone on its line takes the line with it.
---
--- A template has at most 1 MiB and 32 blocks inside each other; a result 8 MiB. There is no
--- way to write `{{` itself but as a value.
local template = {}

---@class TemplateOptions
---@field escape? "html"|"header"|"none" "html": `& < > " '` of values become entities;
--- "header": values that hold a line break or a NUL are refused (subjects of mails)
---@field missing? "error"|"empty" "error": a value that is not there is one; a condition may
--- ask for it all the same. "empty": it is empty text, or an empty list

--- Reads a template once, to be filled in many times: the function takes a table of values and
--- gives the text, or `nil, message, code`. Messages name line and value: "line 3: {{user.name}}
--- has no value"; they never hold a value.
---@param text string
---@param options? TemplateOptions
---@return (fun(values?: table): string|nil, string?, string?)|nil render codes "missing_value", "invalid_value", "too_large"
---@return string? message "line 2: {{#if}} without {{/if}}"
---@return string? code "invalid_template", "too_large"
function template.compile(text, options) end

--- Reads and fills in at once.
---@param text string
---@param values? table
---@param options? TemplateOptions
---@return string|nil text, string? message, string? code those of both
function template.render(text, values, options) end

return template
