// node outbound.js URL SECONDS CONCURRENCY: what bench/outbound.lua does, with undici's Pool.
"use strict";

const { Pool } = require("undici");

const [url, seconds, concurrency] = process.argv.slice(2);
const { origin, pathname } = new URL(url);
const pool = new Pool(origin, { connections: Number(concurrency), pipelining: 1 });

async function run(duration) {
  let calls = 0;
  let failed = 0;
  const stop = performance.now() + duration * 1000;
  async function caller() {
    while (performance.now() < stop) {
      try {
        const response = await pool.request({ method: "GET", path: pathname });
        const body = await response.body.text();
        if (response.statusCode === 200 && body.length > 0) calls++;
        else failed++;
      } catch {
        failed++;
      }
    }
  }
  await Promise.all(Array.from({ length: Number(concurrency) }, caller));
  return { calls, failed };
}

async function main() {
  await run(1);
  const before = process.cpuUsage();
  const { calls, failed } = await run(Number(seconds));
  const cpu = process.cpuUsage(before);
  console.log(`operations=${calls} failed=${failed} cpu_us=${cpu.user + cpu.system}`);
  await pool.close();
}

main();
