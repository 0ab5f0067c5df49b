// node ingest.js PORT DATABASE SECRET: what bench/ingest.lua does, on fastify and better-sqlite3,
// with the commits grouped by hand: all that one turn of the event loop brought is one
// transaction, and each request is answered after it.
"use strict";

const { createHmac, timingSafeEqual } = require("node:crypto");
const Database = require("better-sqlite3");
const fastify = require("fastify");

const [port, path, secret] = process.argv.slice(2);
const database = new Database(path);
database.pragma("journal_mode = WAL");
database.pragma("synchronous = FULL");
database.exec("CREATE TABLE ingest (id INTEGER PRIMARY KEY, event_id TEXT, type TEXT, body BLOB)");
const insert = database.prepare("INSERT INTO ingest (event_id, type, body) VALUES (?, ?, ?)");
const insertAll = database.transaction((rows) => {
  for (const row of rows) insert.run(row.event.id, row.event.type, row.body);
});

let pending = [];

function flush() {
  const rows = pending;
  pending = [];
  try {
    insertAll.immediate(rows);
    for (const row of rows) row.resolve();
  } catch (error) {
    for (const row of rows) row.reject(error);
  }
}

function store(event, body) {
  return new Promise((resolve, reject) => {
    if (pending.length === 0) setImmediate(flush);
    pending.push({ event, body, resolve, reject });
  });
}

const app = fastify({ keepAliveTimeout: 600000 });
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
  done(null, body);
});
app.post("/", async (request, reply) => {
  const body = request.body;
  const expected = createHmac("sha256", secret).update(body).digest("hex");
  const given = request.headers["x-signature"] || "";
  if (given.length !== expected.length
      || !timingSafeEqual(Buffer.from(given), Buffer.from(expected))) {
    return reply.code(401).send();
  }
  await store(JSON.parse(body), body);
  return { ok: true };
});
app.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
