-- The project of the rows "webhook_…": two workers at most, beside the sender; data in BENCH_DATA.
return {
  workers = "auto",
  data_dir = env("BENCH_DATA"),
  store = "sqlite:" .. env("BENCH_DATA") .. "/bench.db",
  log_level = "warn",
  tokens = { { name = "bench", role = "viewer", token = env("BENCH_TOKEN") } },
}
