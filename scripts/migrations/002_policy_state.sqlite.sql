-- What policies know that must survive a restart, one row for each integration and kind:
-- "breaker" (state, mode and since when) and "limiter" (tokens, and the rest of a pause). Of
-- `updated_at` depends how much time has passed since. Keep in step with
-- 002_policy_state.postgres.sql.
CREATE TABLE policy_state (
    integration_name VARCHAR(50) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    state TEXT NOT NULL,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (integration_name, kind)
);
