local sandbox = require "tide.sandbox"
local xml = require "tide.xml"

local ADDRESSES = [[
<?xml version="1.0" encoding="UTF-8"?>
<response>
  <header><resultCode>00</resultCode><resultMsg>NORMAL SERVICE.</resultMsg></header>
  <body>
    <items>
      <item id="1"><zipNo>48058</zipNo><rnAdres>부산광역시 해운대구 우동 1493</rnAdres></item>
      <item id="2"><zipNo>48059</zipNo><rnAdres/></item>
    </items>
    <totalCount>2</totalCount>
  </body>
</response>
]]


local function names(list)
  local result = {}
  for i, element in ipairs(list) do
    result[i] = element.name
  end
  return table.concat(result, " ")
end


-- Refused, with a message that matches and a code.
local function refused(text, pattern, code, options)
  local element, message, seen = xml.decode(text, options)
  assert.is_nil(element)
  assert.matches(pattern, message)
  assert.equal(code, seen)
end


describe("tide.xml", function()
  it("reads a document into plain tables", function()
    local root = assert(xml.decode('<a x="1" y="&lt;2&#x41;"> t <b/> u <c>v</c></a>'))
    assert.equal("a", root.name)
    assert.same({ x = "1", y = "<2A" }, root.attributes)
    assert.equal("t  u", root.text)
    assert.equal("b c", names(root.children))
    assert.same({ name = "b", attributes = {}, text = "", children = {} }, root.children[1])
    assert.equal("v", root.children[2].text)
    assert.is_nil(getmetatable(root))
  end)


  it("finds what a path leads to", function()
    local answer = assert(xml.decode(ADDRESSES))
    assert.equal("00", xml.text(answer, "header/resultCode"))
    assert.equal("2", xml.text(answer, "/response/body/totalCount"))
    assert.is_nil(xml.text(answer, "/other/body/totalCount"))
    assert.is_nil(xml.text(answer, "body/none"))
    local items = xml.find(answer, "body/items/item")
    assert.equal(2, #items)
    assert.equal("2", items[2].attributes.id)
    assert.same({ zipNo = "48058", rnAdres = "부산광역시 해운대구 우동 1493" }, xml.fields(items[1]))
    assert.equal("", xml.text(items[2], "rnAdres"))
    assert.equal("zipNo rnAdres zipNo rnAdres", names(xml.find(answer, "*/items/*/*")))
    assert.equal("48058", xml.first(answer, "body/items/item/zipNo").text)
    assert.same({ answer }, xml.find(answer, "/response"))
    assert.same({}, xml.find(answer, "item"))
  end)


  it("takes the first of several branches that leads somewhere", function()
    local root = assert(xml.decode("<r><a><x>1</x></a><a><y>2</y></a><x>3</x><x>4</x></r>"))
    assert.equal("2", xml.text(root, "a/y"))
    assert.equal("3", xml.fields(root).x)
  end)


  it("joins text around elements, comments and CDATA", function()
    assert.equal("a<b>&amp;c", xml.decode("<r>a<![CDATA[<b>&amp;]]><!-- x --><i>-</i>c</r>").text)
    assert.equal("outer tail", xml.decode("<r>outer <i>in<j>deep</j>ner</i>tail</r>").text)
    assert.equal("a\nb", xml.decode("<r>\r\n a\r\nb\t</r>").text)
  end)


  it("keeps the white space at the ends when asked to", function()
    assert.equal(" a ", xml.decode("<r> a </r>", { space = "keep" }).text)
    assert.equal("\n", xml.decode("<r>\n</r>", { space = "keep" }).text)
    assert.equal("", xml.decode("<r>\n</r>").text)
  end)


  it("keeps prefixes of name spaces as they are written", function()
    local root = assert(xml.decode('<s:E xmlns:s="urn:x"><s:B s:k="1"/></s:E>'))
    assert.equal("s:E", root.name)
    assert.equal("1", xml.first(root, "s:B").attributes["s:k"])
  end)


  it("reads the encodings that it declares or marks", function()
    local utf16 = "\xfe\xff" .. ("<r>가é</r>"):gsub(utf8.charpattern, function(character)
      return string.pack(">I2", utf8.codepoint(character))
    end)
    assert.equal("가é", xml.decode(utf16).text)
    assert.equal("가", xml.decode("\xef\xbb\xbf<r>가</r>").text)
    assert.equal("é", xml.decode('<?xml version="1.0" encoding="ISO-8859-1"?><r>\xe9</r>').text)
    refused('<?xml version="1.0" encoding="Shift_JIS"?><r/>',
      "^1:1: the encoding Shift_JIS is not known$", "invalid_xml")
  end)


  it("reads EUC-KR under all its names, and what only CP949 has", function()
    for _, name in ipairs { "EUC-KR", "euc-kr", "ks_c_5601-1987", "CP949", "MS949", "windows-949" } do
      local root = assert(xml.decode('<?xml version="1.0" encoding="' .. name
        .. '"?><\xb0\xa1 a="\xb3\xaa">\xc7\xd1\xb1\xdb\x8c\x63</\xb0\xa1>'))
      assert.equal("가", root.name)
      assert.equal("나", root.attributes.a)
      assert.equal("한글똠", root.text)
    end
    refused('<?xml version="1.0" encoding="EUC-KR"?><r>\xff\xff</r>', "at byte 43$", "invalid_encoding")
    refused('<?xml version="1.0" encoding="EUC-KR"?>\n<r>\xc7\xd1\xb1\xdb<b></r>',
      "^2:11: mismatched tag$", "invalid_xml")
  end)


  it("lets the caller overrule the declaration", function()
    assert.equal("한", xml.decode("<r>\xc7\xd1</r>", { encoding = "EUC-KR" }).text)
    assert.equal("한", xml.decode('<?xml version="1.0" encoding="EUC-KR"?><r>한</r>', { encoding = "UTF-8" }).text)
    refused("<r/>", "^1:1: the encoding UTF%-16//IGNORE is not known$", "invalid_xml", { encoding = "UTF-16//IGNORE" })
  end)


  it("says what is wrong, and where", function()
    refused("", "^1:1: no element found$", "invalid_xml")
    refused("{}", "^1:1: ", "invalid_xml")
    refused("<a>\n <b>\n </a>", "^3:4: mismatched tag$", "invalid_xml")
    refused("<a>한</b>", "^1:7: mismatched tag$", "invalid_xml")
    refused("<a/><b/>", "^1:5: junk after document element$", "invalid_xml")
    refused("<a x='1' x='2'/>", "duplicate attribute", "invalid_xml")
    refused("<a>\xff</a>", "^1:4: not well%-formed", "invalid_xml")
    refused("<a>\0</a>", "^1:4: ", "invalid_xml")
    refused("<a>&nbsp;</a>", "^1:4: undefined entity$", "invalid_xml")
  end)


  it("expands no entity that a document declares", function()
    local laughs = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>'
    refused(laughs, "a document type with declarations of its own is not read$", "invalid_xml")
    refused('<!DOCTYPE l [<!ATTLIST l x CDATA "y">]><l/>', "is not read$", "invalid_xml")
    refused('<!DOCTYPE l [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><l/>', "is not read$", "invalid_xml")
  end)


  it("takes a document type that is declared elsewhere, and never reads it", function()
    local kind = '<!DOCTYPE l SYSTEM "file:///etc/passwd">'
    assert.equal("<x", xml.decode(kind .. '<l a="&amp;&#65;">&lt;x</l>').text)
    assert.equal("x", xml.decode("<!DOCTYPE l><l>x</l>").text)
    refused(kind .. "<l>&x;</l>", "^1:44: an entity of the document type", "invalid_xml")
    refused(kind .. '<l a="&x;"/>', "^1:41: an entity of the document type", "invalid_xml")
  end)


  it("bounds levels, nodes and bytes", function()
    assert.equal("a", xml.decode(("<a>"):rep(100) .. ("</a>"):rep(100)).name)
    refused(("<a>"):rep(101) .. ("</a>"):rep(101), "^1:301: more than 100 levels$", "too_large")
    assert.equal(199999, #xml.decode("<a>" .. ("<b/>"):rep(199999) .. "</a>").children)
    refused("<a>" .. ("<b/>"):rep(200000) .. "</a>", "more than 200000 elements and attributes$", "too_large")
    refused("<a>" .. ("<b c=''/>"):rep(100000) .. "</a>", "more than 200000", "too_large")
    assert.equal(8 * 1024 * 1024 - 7, #xml.decode("<a>" .. ("x"):rep(8 * 1024 * 1024 - 7) .. "</a>").text)
    refused("<a>" .. ("x"):rep(8 * 1024 * 1024) .. "</a>", "at most 8388608 bytes$", "too_large")
  end)


  it("raises for misuse, at the caller's line", function()
    local root = assert(xml.decode("<a/>"))
    for _, misuse in ipairs {
      function() xml.decode(nil) end, function() xml.decode("<a/>", 1) end,
      function() xml.decode("<a/>", { encoding = 1 }) end, function() xml.decode("<a/>", { space = true }) end,
      function() xml.find({}, "a") end, function() xml.find(root) end, function() xml.first(root, "") end,
      function() xml.text(root, "a//b") end, function() xml.text(nil, "a") end, function() xml.fields("a") end,
      function() xml.first(root, ("a/"):rep(100) .. "a") end,
    } do
      local ok, message = pcall(misuse)
      assert.is_false(ok)
      assert.matches("spec/xml_spec.lua:%d+: xml%.", message)
    end
  end)


  it("is there for providers", function()
    assert.equal("1", (sandbox.load([[
      local xml = require "tide.xml"
      return xml.text(xml.decode("<a><b>1</b></a>"), "b")
    ]], "providers/acme.lua")))
  end)
end)
