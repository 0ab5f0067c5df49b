-- Each change of an integration's run-time settings, so that they can be gone back to. Keep in step
-- with 005_config_history.postgres.sql.
CREATE TABLE config_history (
    -- Grows over all integrations: how new the settings are that are read with it.
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    integration_name VARCHAR(50) NOT NULL,
    -- 1, 2, 3… of each integration.
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    actor VARCHAR(100) NOT NULL,
    trace_id VARCHAR(255),
    -- The JSON Merge Patch that made it of the version before.
    patch TEXT NOT NULL,
    -- All that is set at run time since, by key.
    settings TEXT NOT NULL,
    UNIQUE (integration_name, version)
);
