-- What policies know that must survive a restart, one row for each integration and kind:
-- "breaker" (state, mode and since when) and "limiter" (tokens, and the rest of a pause). Of
-- `updated_at` depends how much time has passed since. Keep in step with
-- 002_policy_state.sqlite.sql.
CREATE TABLE policy_state (
    integration_name VARCHAR(50) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    state JSONB NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    PRIMARY KEY (integration_name, kind)
);
