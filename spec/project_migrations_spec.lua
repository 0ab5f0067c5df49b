-- The migrations of a project: their files, and what their SQL may do.

local tables = require "spec.support.project_tables"


describe("the project's migrations", function()
  local remove

  local function integration(list)
    local files
    files, remove = tables.folder(list)
    return tables.acme(files, [[return ctx.db.query("SELECT name FROM names ORDER BY name")]])
  end

  after_each(function()
    remove()
  end)


  it("run in the order of their numbers, those of this database in place of the general ones", function()
    assert.same({ { name = "first" }, { name = "sqlite" } }, integration({
      ["002_rows.sql"] = "INSERT INTO names VALUES ('first')",
      ["1_tables.sql"] = "CREATE TABLE names (name TEXT)",
      ["10_more.sql"] = "INSERT INTO names VALUES ('general')",
      ["10_more.sqlite.sql"] = "INSERT INTO names VALUES ('sqlite')",
      ["11_other.postgres.sql"] = "INSERT INTO names VALUES ('postgres')",
      ["README.md"] = "not SQL",
    }).call("act"))
  end)


  local FAULTS = {
    ["misnamed.sql"] = { {}, "misnamed%.sql: name it NNN_name%.sql" },
    ["002_a.mysql.sql"] = { {}, "002_a%.mysql%.sql: name it" },
    ["000_a.sql"] = { {}, "000_a%.sql: name it" },
    ["001_b.sql"] = { { ["01_a.sql"] = "" }, "has the number 1, too" },
    ["003_x.sql"] = { {}, "migration 003_x of project: line 2: ", "SELECT 1;\nCREATE SOMETHING" },
    ["004_x.sql"] = { {}, "PRAGMA", "PRAGMA user_version = 1" },
    ["005_x.sql"] = { {}, "temporary", "CREATE TEMP TABLE t (a)" },
    ["006_x.sql"] = { {}, "fts5 and rtree", "CREATE VIRTUAL TABLE t USING fts4 (a)" },
    ["007_x.sql"] = { {}, "tidegate_transactions is not one of the project's", "DROP TABLE tidegate_transactions" },
    ["008_x.sql"] = { {}, "tidegate_mine is not one of the project's", "CREATE TABLE tidegate_mine (a)" },
    ["009_x.sql"] = { {}, "load_extension", "SELECT load_extension('x')" },
    ["010_x.sql"] = { {}, "one transaction", "COMMIT" },
  }
  for name, fault in pairs(FAULTS) do
    it("refuses " .. name .. " because of its " .. (fault[3] and "text" or "name"), function()
      local list = fault[1]
      list[name] = fault[3] or "SELECT 1"
      local ok, err = pcall(integration, list)
      assert.is_false(ok)
      assert.matches(fault[2], tostring(err))
    end)
  end


  it("may make tables, views, indexes and triggers of every kind, which scripts then use", function()
    local files
    files, remove = tables.folder { ["001_all.sql"] = [[
      CREATE TABLE orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL COLLATE NOCASE UNIQUE,
        net REAL DEFAULT 0 CHECK (net >= 0),
        gross REAL GENERATED ALWAYS AS (round(net * 1.1, 2)) STORED, made TEXT DEFAULT CURRENT_TIMESTAMP,
        meta TEXT DEFAULT (json_object('v', 1)));
      CREATE TABLE lines (order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE, sku TEXT,
        PRIMARY KEY (order_id, sku)) WITHOUT ROWID, STRICT;
      CREATE TABLE history (event TEXT, at TEXT);
      CREATE TRIGGER noted AFTER INSERT ON orders BEGIN
        INSERT INTO history VALUES (printf('new %s', NEW.code), datetime('now'));
      END;
      CREATE VIRTUAL TABLE words USING fts5 (event, content=history);
      CREATE TRIGGER found AFTER INSERT ON history BEGIN
        INSERT INTO words (rowid, event) VALUES (NEW.rowid, NEW.event);
      END;
      CREATE VIEW totals AS SELECT code, gross, row_number() OVER (ORDER BY gross DESC) AS place FROM orders;
      CREATE INDEX cheap ON orders (net) WHERE net < 10;
      CREATE INDEX lowered ON orders (lower(code));
      CREATE VIRTUAL TABLE places USING rtree (id, min_x, max_x);
      ALTER TABLE lines RENAME COLUMN sku TO article;
      ALTER TABLE lines ADD COLUMN count INTEGER;
      ANALYZE;
    ]] }
    assert.same({ "new A1", 11, 1, "B2", 1, 0, 2, 1 }, tables.acme(files, [[
      local q = ctx.db.query
      q("INSERT INTO orders (code, net) VALUES ('A1', 10)")
      q("INSERT INTO orders (code, net) VALUES ('a1', 1), ('B2', 5) ON CONFLICT (code) DO NOTHING")
      q("INSERT INTO lines VALUES (1, 'x', 2)")
      q("INSERT INTO places VALUES (1, 0.5, 1.5)")
      local found = q("SELECT id FROM places WHERE min_x < 1 AND max_x > 1")[1].id
      local gross = q("SELECT gross FROM totals WHERE place = 1")[1].gross
      local version = q("SELECT meta ->> 'v' AS v FROM orders WHERE id = 1")[1].v
      local last = q("SELECT code FROM orders ORDER BY id DESC LIMIT 1")[1].code
      local lines = q("SELECT count(*) AS n FROM lines")[1].n
      q("DELETE FROM orders WHERE id = 1")
      return { q("SELECT event FROM words WHERE words MATCH 'a1'")[1].event, gross, version, last, lines,
        q("SELECT count(*) AS n FROM lines")[1].n, q("SELECT count(*) AS n FROM history")[1].n, found }
    ]]).call("act"))
  end)
end)
