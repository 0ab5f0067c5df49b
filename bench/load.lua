-- wrk's script: POST the file BENCH_PAYLOAD, signed with BENCH_SIGNATURE, with the bearer token
-- BENCH_TOKEN; prints what counts.

local file = assert(io.open(os.getenv("BENCH_PAYLOAD"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Signature"] = os.getenv("BENCH_SIGNATURE")
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
file:close()


function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(("operations=%d failed=%d duration_us=%d p50_us=%d p99_us=%d\n"):format(
    summary.requests, failed, summary.duration, latency:percentile(50), latency:percentile(99)))
end
