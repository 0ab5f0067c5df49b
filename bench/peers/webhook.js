// node webhook.js PORT DATABASE SECRET batched|each: a webhook acknowledged as bench/webhook does it, on fastify
// and better-sqlite3: HMAC-SHA256 over the raw body, JSON parsed, stored once by its event id in the same tables
// with the same indexes, answered after the commit. "batched": all that one turn of the event loop brought is one
// commit, grouped by hand. "each": a commit for each event, as a handler is usually written.
"use strict";

const { createHmac, randomBytes, timingSafeEqual } = require("node:crypto");
const { readFileSync } = require("node:fs");
const Database = require("better-sqlite3");
const fastify = require("fastify");

const DEDUPE_SECONDS = 2592000;
const [port, path, secret, mode] = process.argv.slice(2);

const database = new Database(path);
database.pragma("journal_mode = WAL");
database.pragma("synchronous = FULL");
for (const file of ["001_tables", "003_webhooks"]) {
  database.exec(readFileSync(`scripts/migrations/${file}.sqlite.sql`, "utf8"));
}
const remember = database.prepare(`INSERT INTO webhook_dedupe (integration, key, event_row_id, expires_at)
  VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`);
const insert = database.prepare(`INSERT INTO webhook_events (id, created_at, integration_name, event_type, event_id,
  status, next_attempt_at, processed_at, signature, signature_verified, trace_id, content_type, headers, payload, body)
  VALUES (?, ?, 'ack', ?, ?, 'completed', NULL, ?, ?, 1, ?, ?, ?, ?, ?)`);

function store(event) {
  const found = remember.run("ack", event.eventId, event.id, event.expiresAt);
  event.duplicate = found.changes === 0;
  if (event.duplicate) return;
  insert.run(event.id, event.receivedAt, event.type, event.eventId, event.receivedAt, event.signature, event.traceId,
    event.contentType, event.headers, event.payload, event.body);
}

const storeOne = database.transaction(store);
const storeAll = database.transaction((events) => { for (const event of events) store(event); });

let pending = [];

function flush() {
  const events = pending;
  pending = [];
  try {
    storeAll.immediate(events);
    for (const event of events) event.resolve();
  } catch (error) {
    for (const event of events) event.reject(error);
  }
}

function storeWithOthers(event) {
  return new Promise((resolve, reject) => {
    if (pending.length === 0) setImmediate(flush);
    event.resolve = resolve;
    event.reject = reject;
    pending.push(event);
  });
}

// Time-ordered, as ours are: the index grows at its end.
function newId() {
  const text = Date.now().toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
}

function isSigned(body, given) {
  const expected = createHmac("sha256", secret).update(body).digest("hex");
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

const app = fastify({ keepAliveTimeout: 600000 });
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => done(null, body));
app.post("/api/v1/webhooks/ack", async (request, reply) => {
  const body = request.body;
  const signature = request.headers["x-signature"] || "";
  if (!isSigned(body, signature)) return reply.code(401).send();
  const payload = JSON.parse(body);
  const now = Date.now();
  const event = {
    id: newId(), eventId: payload.id, type: payload.type, signature, traceId: randomBytes(16).toString("hex"),
    receivedAt: new Date(now).toISOString(), expiresAt: new Date(now + DEDUPE_SECONDS * 1000).toISOString(),
    contentType: request.headers["content-type"], headers: JSON.stringify(request.headers),
    payload: body.toString("utf8"), body,
  };
  if (mode === "each") storeOne.immediate(event);
  else await storeWithOthers(event);
  return { id: event.id, duplicate: event.duplicate };
});
app.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
