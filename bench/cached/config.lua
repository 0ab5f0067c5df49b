-- The project of the row "cached": one worker, one integration, one token (BENCH_TOKEN).
return {
  workers = 1,
  data_dir = env("BENCH_DATA"),
  store = "sqlite:" .. env("BENCH_DATA") .. "/bench.db",
  log_level = "warn",
  tokens = { { name = "bench", role = "caller", token = env("BENCH_TOKEN") } },
}
