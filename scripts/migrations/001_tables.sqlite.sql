-- All tables of the framework, for SQLite: UUID, JSON and RFC 3339 times (UTC, milliseconds)
-- are text, booleans 0 and 1. Keep in step with 001_tables.postgres.sql.
--
-- Keys begin with the time (UUID version 7), so that new rows go to the end of each index and
-- a range of times is a range of ids: there is no index on created_at to keep up.

-- One row per integration: what was changed at run time. The framework writes each column,
-- NULL for "not overridden"; keys without a column are members of `settings`.
CREATE TABLE integration_configs (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),

    integration_name VARCHAR(50) NOT NULL UNIQUE,
    integration_type VARCHAR(50) NOT NULL,
    is_enabled INTEGER DEFAULT 1,
    is_mock_mode INTEGER DEFAULT 0,

    base_url TEXT,
    api_key_encrypted TEXT,
    timeout_seconds INTEGER DEFAULT 30,

    max_retries INTEGER DEFAULT 3,
    retry_backoff_factor REAL DEFAULT 2.0,
    retry_max_delay_seconds INTEGER DEFAULT 60,

    circuit_breaker_enabled INTEGER DEFAULT 1,
    circuit_breaker_failure_threshold INTEGER DEFAULT 5,
    circuit_breaker_timeout_seconds INTEGER DEFAULT 60,

    rate_limit_enabled INTEGER DEFAULT 1,
    rate_limit_calls_per_minute INTEGER DEFAULT 60,
    rate_limit_calls_per_hour INTEGER DEFAULT 1000,

    cache_enabled INTEGER DEFAULT 1,
    cache_ttl_seconds INTEGER DEFAULT 3600,

    extra_config TEXT,
    settings TEXT
);

CREATE INDEX idx_integration_configs_enabled ON integration_configs (is_enabled) WHERE is_enabled = 1;


-- One row per call, whatever its outcome; request_* and response_* are the last request's.
CREATE TABLE integration_call_logs (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),

    integration_name VARCHAR(50) NOT NULL,
    integration_type VARCHAR(50) NOT NULL,
    operation VARCHAR(50),
    caller VARCHAR(100),

    request_method VARCHAR(10),
    request_url TEXT,
    request_headers TEXT,
    request_body TEXT,

    response_status INTEGER,
    response_headers TEXT,
    response_body TEXT,

    duration_ms INTEGER,

    is_success INTEGER,
    error_message TEXT,
    error_type VARCHAR(50),

    user_id TEXT,
    trace_id VARCHAR(255),

    retry_count INTEGER DEFAULT 0,
    is_from_cache INTEGER DEFAULT 0,
    is_mock INTEGER DEFAULT 0,
    is_stale INTEGER DEFAULT 0,
    is_fallback INTEGER DEFAULT 0,
    provider_version VARCHAR(64),
    attempts TEXT,

    circuit_breaker_state VARCHAR(20)
);

-- Four instead of the five that would be one per column: they answer the same questions for
-- less (docs/internals/store.md has the measurement).
CREATE INDEX idx_integration_call_logs_integration_name ON integration_call_logs (integration_name, id);
CREATE INDEX idx_integration_call_logs_is_success ON integration_call_logs (id) WHERE is_success = 0;
CREATE INDEX idx_integration_call_logs_trace_id ON integration_call_logs (trace_id);
CREATE INDEX idx_integration_call_logs_user_id ON integration_call_logs (user_id, id) WHERE user_id IS NOT NULL;


CREATE TABLE integration_metrics (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),

    integration_name VARCHAR(50) NOT NULL,

    metric_timestamp TEXT NOT NULL,
    window_minutes INTEGER DEFAULT 5,

    total_calls INTEGER DEFAULT 0,
    successful_calls INTEGER DEFAULT 0,
    failed_calls INTEGER DEFAULT 0,
    cached_calls INTEGER DEFAULT 0,

    avg_response_time REAL,
    p50_response_time INTEGER,
    p95_response_time INTEGER,
    p99_response_time INTEGER,
    max_response_time INTEGER,

    error_rate REAL,
    timeout_count INTEGER DEFAULT 0,

    circuit_breaker_open_count INTEGER DEFAULT 0,

    rate_limited_count INTEGER DEFAULT 0,

    cache_hit_rate REAL
);

CREATE INDEX idx_integration_metrics_name_timestamp ON integration_metrics (integration_name, metric_timestamp DESC);
CREATE INDEX idx_integration_metrics_timestamp ON integration_metrics (metric_timestamp DESC);


CREATE TABLE integration_health (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),

    integration_name VARCHAR(50) NOT NULL UNIQUE,

    status VARCHAR(20) NOT NULL,
    last_check_at TEXT,
    last_success_at TEXT,
    last_failure_at TEXT,

    consecutive_failures INTEGER DEFAULT 0,
    total_failures_24h INTEGER DEFAULT 0,

    circuit_breaker_state VARCHAR(20) DEFAULT 'closed',
    circuit_opened_at TEXT,

    health_check_message TEXT,
    health_check_details TEXT
);

CREATE INDEX idx_integration_health_status ON integration_health (status);


-- Events as they were received. `body` is what counts; `payload` is NULL when it is not JSON.
CREATE TABLE webhook_events (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),

    integration_name VARCHAR(50) NOT NULL,
    source VARCHAR(50),
    event_type VARCHAR(100) NOT NULL,
    event_id VARCHAR(255),

    headers TEXT,
    payload TEXT,
    body BLOB,
    content_type VARCHAR(255),
    signature VARCHAR(255),
    signature_verified INTEGER,
    trace_id VARCHAR(255),

    status VARCHAR(20) DEFAULT 'pending',
    processed_at TEXT,
    retry_count INTEGER DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TEXT,
    lease_until TEXT,
    ordering_key VARCHAR(255),
    provider_version VARCHAR(64),

    processing_result TEXT,
    transaction_result TEXT,
    error_message TEXT
);

CREATE INDEX idx_webhook_events_integration_name ON webhook_events (integration_name, id);
CREATE INDEX idx_webhook_events_pending ON webhook_events (next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX idx_webhook_events_processing ON webhook_events (lease_until) WHERE status = 'processing';
CREATE INDEX idx_webhook_events_failed ON webhook_events (id) WHERE status = 'failed';
CREATE INDEX idx_webhook_events_ordering_key ON webhook_events (integration_name, ordering_key, id) WHERE ordering_key IS NOT NULL;


-- The events that were seen: written in the commit that stores the event.
CREATE TABLE webhook_dedupe (
    integration VARCHAR(50) NOT NULL,
    key VARCHAR(255) NOT NULL,
    event_row_id TEXT,
    expires_at TEXT NOT NULL,
    PRIMARY KEY (integration, key)
) WITHOUT ROWID;

CREATE INDEX idx_webhook_dedupe_expires_at ON webhook_dedupe (expires_at);


-- Who changed what; also the history of the configuration.
CREATE TABLE audit_log (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    actor VARCHAR(100) NOT NULL,
    action VARCHAR(50) NOT NULL,
    integration_name VARCHAR(50),
    subject VARCHAR(255),
    old_value TEXT,
    new_value TEXT,
    trace_id VARCHAR(255)
);

CREATE INDEX idx_audit_log_integration_name ON audit_log (integration_name, id) WHERE integration_name IS NOT NULL;


CREATE TABLE alerts (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    kind VARCHAR(50) NOT NULL,
    severity VARCHAR(20) NOT NULL,
    integration_name VARCHAR(50),
    message TEXT NOT NULL,
    details TEXT,
    occurrences INTEGER NOT NULL DEFAULT 1,
    resolved_at TEXT,
    acknowledged_at TEXT,
    acknowledged_by VARCHAR(100)
);

CREATE INDEX idx_alerts_open ON alerts (kind, integration_name) WHERE resolved_at IS NULL;


-- One row per message and recipient.
CREATE TABLE deliveries (
    integration_name VARCHAR(50) NOT NULL,
    id VARCHAR(255) NOT NULL,
    recipient VARCHAR(320) NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    status VARCHAR(20) NOT NULL,
    detail TEXT,
    history TEXT,
    trace_id VARCHAR(255),
    PRIMARY KEY (integration_name, id, recipient)
);


CREATE TABLE idempotency_keys (
    token VARCHAR(64) NOT NULL,
    integration_name VARCHAR(50) NOT NULL,
    operation VARCHAR(50) NOT NULL,
    key VARCHAR(255) NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    expires_at TEXT NOT NULL,
    input_hash VARCHAR(64) NOT NULL,
    status VARCHAR(20) NOT NULL DEFAULT 'in_progress',
    deadline_at TEXT,
    response_status INTEGER,
    response_body TEXT,
    trace_id VARCHAR(255),
    PRIMARY KEY (token, integration_name, operation, key)
);

CREATE INDEX idx_idempotency_keys_expires_at ON idempotency_keys (expires_at);


-- Asynchronous calls and batches.
CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    expires_at TEXT,
    kind VARCHAR(20) NOT NULL,
    integration_name VARCHAR(50),
    operation VARCHAR(50),
    token VARCHAR(64),
    status VARCHAR(20) NOT NULL DEFAULT 'pending',
    lease_until TEXT,
    input TEXT,
    total INTEGER NOT NULL DEFAULT 1,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    finished_at TEXT,
    trace_id VARCHAR(255)
);

CREATE INDEX idx_jobs_unfinished ON jobs (status, id) WHERE finished_at IS NULL;
CREATE INDEX idx_jobs_expires_at ON jobs (expires_at);

CREATE TABLE job_results (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    status INTEGER NOT NULL,
    data TEXT,
    error TEXT,
    meta TEXT,
    PRIMARY KEY (job_id, position)
);


-- Of a token only the SHA-256 is kept, in hex.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(printf('%08x-%04x-7%s-%s%s-%s',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535,
        substr(hex(randomblob(2)), 2), substr('89ab', 1 + (random() & 3), 1),
        substr(hex(randomblob(2)), 2), hex(randomblob(6))))),
    hash VARCHAR(64) NOT NULL UNIQUE,
    name VARCHAR(100) NOT NULL,
    role VARCHAR(20) NOT NULL,
    integrations TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    expires_at TEXT,
    last_used_at TEXT
);


-- Versions of provider files that ran, and those rolled back, which are not loaded again.
CREATE TABLE provider_versions (
    integration_name VARCHAR(50) NOT NULL,
    version VARCHAR(64) NOT NULL,
    loaded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    is_rolled_back INTEGER DEFAULT 0,
    reason TEXT,
    PRIMARY KEY (integration_name, version)
);


-- Encrypted with AES-256-GCM under the master key that `key_id` names.
CREATE TABLE secrets (
    integration_name VARCHAR(50) NOT NULL,
    name VARCHAR(50) NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    key_id VARCHAR(32) NOT NULL,
    value_encrypted BLOB NOT NULL,
    previous_encrypted BLOB,
    previous_expires_at TEXT,
    PRIMARY KEY (integration_name, name)
);
