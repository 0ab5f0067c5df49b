local text = require "tide.text"


describe("tide.text", function()
  it("composes to NFC", function()
    assert.equal("\u{e9}", text.nfc("e\u{301}"))
    assert.equal("한글", text.nfc("\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"))
    assert.equal("\u{fb01}", text.nfc("\u{fb01}"))
    assert.equal("plain", text.nfc("plain"))
    assert.equal("", text.nfc(""))
  end)


  it("makes compatibility characters plain with NFKC", function()
    assert.equal("ABC123", text.nfkc("ＡＢＣ１２３"))
    assert.equal("fi", text.nfkc("\u{fb01}"))
    assert.equal("(주)", text.nfkc("㈜"))
  end)


  it("folds case fully", function()
    assert.equal("strasse", text.fold("STRAßE"))
    assert.equal(text.fold("ΣΊΣΥΦΟΣ"), text.fold("σίσυφος"))
    assert.equal("abc", text.fold("ABC"))
    assert.equal("a\0b", text.fold("A\0B"))
  end)


  it("trims white space of all of Unicode", function()
    assert.equal("a b", text.trim(" \t\r\n\u{3000}\u{a0}a b\u{2003}\u{2028} "))
    assert.equal("", text.trim(" \u{3000} "))
    assert.equal("\u{200b}x", text.trim("\u{200b}x"))
    assert.equal("\xff", text.trim(" \xff "))
    assert.equal("", text.trim(""))
  end)


  it("counts code points", function()
    assert.equal(2, text.length("한글"))
    assert.equal(0, text.length(""))
    assert.equal(1, text.length("\u{1f600}"))
  end)


  it("says what is no UTF-8, and where", function()
    for _, bad in ipairs { "ab\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82" } do
      assert.is_false(text.is_utf8(bad))
      for _, name in ipairs { "nfc", "nfkc", "fold", "length" } do
        local result, message, code = text[name](bad)
        assert.is_nil(result)
        assert.matches("at byte %d", message)
        assert.equal("invalid_utf8", code)
      end
    end
    assert.is_true(text.is_utf8("한글\0"))
  end)


  it("knows what EUC-KR can hold", function()
    assert.is_true(text.is_euc_kr("주식회사 대한 (株) ABC ~"))
    assert.is_true(text.is_euc_kr(""))
    assert.is_false(text.is_euc_kr("똠방각하"))
    assert.is_false(text.is_euc_kr("caf\u{e9}"))
    assert.is_false(text.is_euc_kr("\u{1f600}"))
    assert.is_false(text.is_euc_kr("\xff"))
  end)


  it("truncates at the boundary of a character", function()
    assert.equal("한", text.truncate("한글", 5))
    assert.equal("한글", text.truncate("한글", 6))
    assert.equal("", text.truncate("한글", 2))
    assert.equal("", text.truncate("한글", 0))
    assert.equal("\x80\x80\x80\x80\x80", text.truncate("\x80\x80\x80\x80\x80\x80", 5))
    assert.has_error(function() text.truncate("a", -1) end)
  end)


  it("splits plainly", function()
    assert.same({ "a", "b", "", "c" }, text.split("a, b, , c", ", "))
    assert.same({ "a.b" }, text.split("a.b", "%."))
    assert.same({ "" }, text.split("", ","))
    assert.same({ "", "" }, text.split(",", ","))
    assert.has_error(function() text.split("a", "") end)
  end)
end)
