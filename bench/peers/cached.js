// node cached.js PORT DATABASE TOKEN: what bench/cached does, on fastify with a schema, opossum,
// lru-cache and a batched log row in better-sqlite3: the same table, columns and indexes.
"use strict";

const { createHash, randomBytes } = require("node:crypto");
const { readFileSync } = require("node:fs");
const Database = require("better-sqlite3");
const fastify = require("fastify");
const { LRUCache } = require("lru-cache");
const CircuitBreaker = require("opossum");

const [port, path, token] = process.argv.slice(2);
const database = new Database(path);
database.pragma("journal_mode = WAL");
database.pragma("synchronous = FULL");
database.exec(readFileSync("scripts/migrations/001_tables.sqlite.sql", "utf8"));
const columns = ["id", "created_at", "integration_name", "integration_type", "request_method", "request_url",
  "request_headers", "request_body", "response_status", "response_headers", "response_body", "duration_ms",
  "is_success", "error_message", "error_type", "user_id", "trace_id", "retry_count", "is_from_cache",
  "circuit_breaker_state", "operation", "caller", "is_mock", "is_stale", "is_fallback", "provider_version", "attempts"];
const insert = database.prepare(`INSERT INTO integration_call_logs (${columns.join(", ")}) VALUES (${
  columns.map(() => "?").join(", ")})`);
const insertAll = database.transaction((rows) => { for (const row of rows) insert.run(row); });

const hash = createHash("sha256").update(token).digest("hex");
const identities = new Map([[hash, { name: "bench", role: "caller" }]]);
const cache = new LRUCache({ max: 10000, ttl: 3600 * 1000 });
const counters = new Map();

function count(name) {
  counters.set(name, (counters.get(name) || 0) + 1);
}

async function track(input) {
  return { parcel: input.parcel, state: "in_transit" };
}

const breaker = new CircuitBreaker(async (key, input) => {
  const kept = cache.get(key);
  if (kept !== undefined) return { data: kept.data, at: kept.at, fromCache: true };
  const data = await track(input);
  cache.set(key, { data, at: Date.now() });
  return { data, at: Date.now(), fromCache: false };
}, { timeout: 5000, errorThresholdPercentage: 50, resetTimeout: 60000 });

let pending = [];

function flush() {
  const rows = pending;
  pending = [];
  insertAll.immediate(rows);
}

// Time-ordered, as ours are: the index grows at its end.
function newId() {
  const text = Date.now().toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
}

function log(row) {
  if (pending.length === 0) setImmediate(flush);
  pending.push(row);
}

const app = fastify({ keepAliveTimeout: 600000 });
app.post("/api/v1/integrations/bench/track", {
  schema: { body: {
    type: "object", required: ["parcel"], additionalProperties: false,
    properties: { parcel: { type: "string", pattern: "^[0-9-]{10,12}$" } },
  } },
}, async (request, reply) => {
  const started = performance.now();
  const given = (request.headers.authorization || "").replace(/^Bearer /, "");
  const identity = identities.get(createHash("sha256").update(given).digest("hex"));
  if (!identity) return reply.code(401).send();
  const input = { parcel: request.body.parcel.replaceAll("-", "") };
  const key = "track:" + JSON.stringify(input);
  const traceId = randomBytes(16).toString("hex");
  const { data, at, fromCache } = await breaker.fire(key, input);
  const duration = Math.round(performance.now() - started);
  count(fromCache ? "cached" : "ok");
  log([newId(), new Date().toISOString(), "bench", "api", null, null, null, null, null, null, null, duration, 1,
    null, null, null, traceId, 0, fromCache ? 1 : 0, breaker.opened ? "open" : "closed", "track", identity.name, 0, 0, 0,
    "1", "[]"]);
  reply.header("X-Trace-Id", traceId);
  return { data, meta: {
    integration: "bench", operation: "track", trace_id: traceId, duration_ms: duration, attempts: fromCache ? 0 : 1,
    from_cache: fromCache, age_seconds: Math.floor((Date.now() - at) / 1000), stale: false, fallback: false, mock: false,
    circuit_breaker_state: breaker.opened ? "open" : "closed",
  } };
});
app.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
