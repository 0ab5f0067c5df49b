// node run.js TIDEGATE: senders' own libraries sign requests, the service TIDEGATE takes what is right and refuses
// what is not. Ends with one line: N passed, N failed; exit code 1 when anything failed.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const standard = require("standardwebhooks");
const Stripe = require("stripe");
const svix = require("svix");
const twilio = require("twilio");

const START_MS = 10000;
const PUBLIC_URL = "https://hooks.example.com";
const WRONG_WAY_MINUTES = 10;
const SECRETS = {
  stripe: "whsec_stripe_test_0123456789abcdef",
  github: "It's a Secret to Everybody",
  standard: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  svix: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
  twilio: "0123456789abcdef0123456789abcdef",
};
const WRONG_SECRETS = {
  stripe: "whsec_stripe_test_0123456789abcdee",
  github: "It's a Secret to Nobody",
  standard: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
  svix: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  twilio: "0123456789abcdef0123456789abcdee",
};
const SCHEMES = { stripe: "stripe", github: "github", standard: "standard-webhooks", svix: "standard-webhooks",
  twilio: "twilio" };

// The service -----------------------------------------------------------------------------------------------------

function writeProject(folder) {
  fs.mkdirSync(path.join(folder, "providers"));
  fs.writeFileSync(path.join(folder, "config.lua"), `return { public_url = "${PUBLIC_URL}", log_level = "error" }\n`);
  for (const [name, scheme] of Object.entries(SCHEMES)) {
    fs.writeFileSync(path.join(folder, "providers", `${name}.lua`),
      `return { webhooks = { signature = { scheme = "${scheme}" }, on = { ["*"] = false } } }\n`);
  }
}

function environment() {
  const variables = { ...process.env };
  for (const [name, secret] of Object.entries(SECRETS)) {
    variables[`TIDEGATE_${name.toUpperCase()}_WEBHOOK_SECRET`] = secret;
  }
  return variables;
}

async function serving(service, said) {
  const ending = Date.now() + START_MS;
  while (!said().includes("listens on")) {
    if (service.exitCode !== null || Date.now() > ending) throw new Error(`the service did not start:\n${said()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function startService(binary) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "senders-"));
  writeProject(folder);
  const process_ = spawn(path.resolve(binary), ["serve", "--listen", "127.0.0.1:0", "--workers", "1"],
    { cwd: folder, env: environment(), stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  process_.stderr.on("data", (data) => { said += data; });
  const service = { folder, process: process_ };
  try {
    await serving(process_, () => said);
  } catch (error) {
    await stopService(service);
    throw error;
  }
  service.origin = "http://" + fs.readFileSync(path.join(folder, "var/address"), "utf8").trim();
  service.token = fs.readFileSync(path.join(folder, "var/admin.token"), "utf8").trim();
  return service;
}

async function stopService(service) {
  const ended = new Promise((resolve) => service.process.once("exit", resolve));
  if (service.process.exitCode === null && service.process.kill("SIGTERM")) await ended;
  fs.rmSync(service.folder, { recursive: true });
}

async function storedCount(service, name) {
  const response = await fetch(`${service.origin}/api/v1/events?integration=${name}&limit=500`,
    { headers: { Authorization: `Bearer ${service.token}` } });
  const answer = await response.json();
  if (response.status !== 200) throw new Error(`GET /api/v1/events: ${JSON.stringify(answer)}`);
  return answer.data.length;
}

// Requests --------------------------------------------------------------------------------------------------------

let nextNumber = 1;

// A request of each sender: { path, headers, body, signature: the header's name }. `options`: secret, offset
// (minutes that its clock is wrong), body.
const SIGN = {
  async stripe({ secret, offset, number }) {
    const event = { id: `evt_${number}`, object: "event", type: "charge.succeeded", note: "도착" };
    const body = JSON.stringify(event, null, 2);
    const header = Stripe.webhooks.generateTestHeaderString({
      payload: body, secret, timestamp: Math.floor(Date.now() / 1000) + offset * 60,
    });
    return { body, headers: { "Stripe-Signature": header }, signature: "Stripe-Signature", timed: true };
  },
  async github({ secret, number }) {
    const octokit = await import("@octokit/webhooks-methods"); // an ES module
    const body = JSON.stringify({ action: "opened", number, title: "A \"quoted\" title, 제목" });
    return {
      body, signature: "X-Hub-Signature-256",
      headers: { "X-Hub-Signature-256": await octokit.sign(secret, body), "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": `72d3162e-cc78-11e3-81ab-4c9367dc0${String(number).padStart(3, "0")}` },
    };
  },
  async standard({ secret, offset, number }) {
    const body = JSON.stringify({ type: "user.created", data: { id: number, name: "홍길동" } });
    const time = new Date(Date.now() + offset * 60000);
    const id = `msg_standard_${number}`;
    return {
      body, signature: "webhook-signature", timed: true,
      headers: { "webhook-id": id, "webhook-timestamp": String(Math.floor(time / 1000)),
        "webhook-signature": new standard.Webhook(secret).sign(id, time, body) },
    };
  },
  async svix({ secret, offset, number }) {
    const body = JSON.stringify({ type: "invoice.paid", data: { id: number } });
    const time = new Date(Date.now() + offset * 60000);
    const id = `msg_svix_${number}`;
    return {
      body, signature: "svix-signature", timed: true,
      headers: { "svix-id": id, "svix-timestamp": String(Math.floor(time / 1000)),
        "svix-signature": new svix.Webhook(secret).sign(id, time, body) },
    };
  },
  async twilio({ secret, number }) {
    const parameters = { MessageSid: `SM${number}`, MessageStatus: "delivered", To: "+821055550134",
      From: "+15005550006", Body: "a+b & c=d" };
    const url = `${PUBLIC_URL}/api/v1/webhooks/twilio`;
    return {
      body: new URLSearchParams(parameters).toString(), signature: "X-Twilio-Signature",
      headers: { "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": twilio.getExpectedTwilioSignature(secret, url, parameters) },
    };
  },
};

async function sign(name, options = {}) {
  const request = await SIGN[name]({ secret: SECRETS[name], offset: 0, number: nextNumber++, ...options });
  return { name, path: `/api/v1/webhooks/${name}`, ...request,
    headers: { "Content-Type": "application/json", ...request.headers } };
}

async function send(service, request) {
  const response = await fetch(service.origin + request.path,
    { method: "POST", headers: request.headers, body: request.body });
  const text = await response.text();
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* said below, where it matters */ }
  return { status: response.status, text, answer };
}

// Another character of the same kind in the middle of a text.
function flip(text) {
  const at = Math.floor(text.length * 3 / 4);
  return text.slice(0, at) + (text[at] === "a" ? "b" : "a") + text.slice(at + 1);
}

// Cases -----------------------------------------------------------------------------------------------------------

const counts = { passed: 0, failed: 0 };

async function test(words, run) {
  try {
    await run();
    counts.passed++;
    console.log(`ok    ${words}`);
  } catch (error) {
    counts.failed++;
    console.log(`FAIL  ${words}\n      ${error.message}`);
  }
}

function expectStatus(given, status) {
  if (given.status !== status) throw new Error(`expected ${status}, got ${given.status}: ${given.text}`);
}

// Taken: 200 with the id of one more event.
async function taken(service, request) {
  const before = await storedCount(service, request.name);
  const given = await send(service, request);
  expectStatus(given, 200);
  if (!given.answer || given.answer.duplicate !== false) throw new Error(`not a new event: ${given.text}`);
  const after = await storedCount(service, request.name);
  if (after !== before + 1) throw new Error(`${after - before} events were stored`);
  return given.answer;
}

// Refused: 401, and nothing is stored.
async function refused(service, request) {
  const before = await storedCount(service, request.name);
  expectStatus(await send(service, request), 401);
  const after = await storedCount(service, request.name);
  if (after !== before) throw new Error(`${after - before} events were stored`);
}

async function testTampering(service, name) {
  await test(`${name}: refuses another body`, async () => {
    const request = await sign(name);
    await refused(service, { ...request, body: flip(request.body) });
  });
  await test(`${name}: refuses a body with a byte more`, async () => {
    const request = await sign(name);
    await refused(service, { ...request, body: request.body + " " });
  });
  await test(`${name}: refuses another signature`, async () => {
    const request = await sign(name);
    request.headers[request.signature] = flip(request.headers[request.signature]);
    await refused(service, request);
  });
  await test(`${name}: refuses a request without a signature`, async () => {
    const request = await sign(name);
    delete request.headers[request.signature];
    await refused(service, request);
  });
  await test(`${name}: refuses an empty signature`, async () => {
    const request = await sign(name);
    request.headers[request.signature] = "";
    await refused(service, request);
  });
  await test(`${name}: refuses the signature of another secret`, async () => {
    await refused(service, await sign(name, { secret: WRONG_SECRETS[name] }));
  });
}

async function testTime(service, name) {
  for (const offset of [-WRONG_WAY_MINUTES, WRONG_WAY_MINUTES]) {
    await test(`${name}: refuses a clock that is ${offset} minutes off`, async () => {
      await refused(service, await sign(name, { offset }));
    });
  }
  for (const offset of [-4, 4]) {
    await test(`${name}: takes a clock that is ${offset} minutes off`, async () => {
      await taken(service, await sign(name, { offset }));
    });
  }
}

async function testSender(service, name) {
  await test(`${name}: takes what its library signed`, async () => {
    await taken(service, await sign(name));
  });
  await test(`${name}: stores an event once that is sent twice`, async () => {
    const request = await sign(name);
    const first = await taken(service, request);
    const before = await storedCount(service, name);
    const again = await send(service, request);
    expectStatus(again, 200);
    if (again.answer.id !== first.id || again.answer.duplicate !== true) throw new Error(again.text);
    if (await storedCount(service, name) !== before) throw new Error("it is stored twice");
  });
  await testTampering(service, name);
  if ((await sign(name)).timed) await testTime(service, name);
}

// What only one sender does -----------------------------------------------------------------------------------------

// The signature of an old secret and that of the present one, as while a secret is rotated.
async function testRotation(service, name, join) {
  for (const turn of ["first", "second"]) {
    await test(`${name}: takes the right signature as the ${turn} of two`, async () => {
      const number = nextNumber++;
      const right = await sign(name, { number });
      const wrong = await sign(name, { number, secret: WRONG_SECRETS[name] });
      const [header, values] = [right.signature, [right, wrong].map((one) => one.headers[right.signature])];
      if (turn === "second") values.reverse();
      right.headers[header] = join(values);
      await taken(service, right);
    });
  }
}

async function testTwilio(service) {
  const url = `${PUBLIC_URL}/api/v1/webhooks/twilio`;
  await test("twilio: takes JSON, whose hash is in the URL", async () => {
    const body = JSON.stringify({ MessageSid: "SMjson", MessageStatus: "sent" });
    const query = `?bodySHA256=${twilio.getExpectedBodyHash(body)}`;
    const headers = { "Content-Type": "application/json",
      "X-Twilio-Signature": twilio.getExpectedTwilioSignature(SECRETS.twilio, url + query, {}) };
    const request = { name: "twilio", path: `/api/v1/webhooks/twilio${query}`, headers, body };
    await refused(service, { ...request, body: flip(body) });
    await taken(service, request);
  });
  await test("twilio: takes parameters that come more than once", async () => {
    const parameters = { MessageSid: "SMtwice", MessageStatus: "sent", Digits: ["5678", "1234", "1234"] };
    const pairs = Object.entries(parameters).flatMap(([key, value]) => [value].flat().map((one) => [key, one]));
    const headers = { "Content-Type": "application/x-www-form-urlencoded",
      "X-Twilio-Signature": twilio.getExpectedTwilioSignature(SECRETS.twilio, url, parameters) };
    await taken(service, { name: "twilio", path: "/api/v1/webhooks/twilio", headers,
      body: new URLSearchParams(pairs).toString() });
  });
}

async function main() {
  const service = await startService(process.argv[2]);
  try {
    for (const name of Object.keys(SIGN)) await testSender(service, name);
    await testRotation(service, "stripe", ([one, two]) => `${one},${two.split(",")[1]}`);
    await testRotation(service, "standard", (values) => values.join(" "));
    await testRotation(service, "svix", (values) => values.join(" "));
    await testTwilio(service);
  } finally {
    await stopService(service);
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

main().catch((error) => {
  console.error(error.stack);
  console.log(`${counts.passed} passed, ${counts.failed + 1} failed`);
  process.exitCode = 1;
});
