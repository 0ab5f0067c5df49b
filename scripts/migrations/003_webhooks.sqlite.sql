-- What processing webhook events needs. The table is laid out anew, its long columns last, so that
-- reading the short ones of a row does not walk through its body. Keep in step with
-- 003_webhooks.postgres.sql.

CREATE TABLE webhook_events_new (
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
    ordering_key VARCHAR(255),

    status VARCHAR(20) DEFAULT 'pending',
    -- When a pending event may run; NULL while an earlier one of its ordering key is unfinished.
    next_attempt_at TEXT,
    -- Runs begun, over all; automatic ones after the first since it came or was last retried by hand.
    attempts INTEGER NOT NULL DEFAULT 0,
    retry_count INTEGER DEFAULT 0,
    lease_until TEXT,
    -- The last run.
    started_at TEXT,
    processed_at TEXT,
    duration_ms INTEGER,
    error_type VARCHAR(50),
    provider_version VARCHAR(64),

    signature VARCHAR(255),
    signature_verified INTEGER,
    trace_id VARCHAR(255),
    content_type VARCHAR(255),

    error_message TEXT,
    processing_result TEXT,
    transaction_result TEXT,
    -- The runs that failed, as JSON.
    attempt_log TEXT,
    headers TEXT,
    payload TEXT,
    body BLOB
);

INSERT INTO webhook_events_new (id, created_at, integration_name, source, event_type, event_id, ordering_key, status,
        next_attempt_at, attempts, retry_count, lease_until, processed_at, provider_version, signature,
        signature_verified, trace_id, content_type, error_message, processing_result, transaction_result, headers,
        payload, body)
    SELECT id, created_at, integration_name, source, event_type, event_id, ordering_key, status,
        next_attempt_at, attempts, retry_count, lease_until, processed_at, provider_version, signature,
        signature_verified, trace_id, content_type, error_message, processing_result, transaction_result, headers,
        payload, body
    FROM webhook_events;

DROP TABLE webhook_events;
ALTER TABLE webhook_events_new RENAME TO webhook_events;

-- An index on a state holds the events that are in it: completed ones, the most by far, are in none.
CREATE INDEX idx_webhook_events_integration_name ON webhook_events (integration_name, id);
CREATE INDEX idx_webhook_events_pending ON webhook_events (integration_name, next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX idx_webhook_events_processing ON webhook_events (id) WHERE status = 'processing';
CREATE INDEX idx_webhook_events_failed ON webhook_events (id) WHERE status = 'failed';
CREATE INDEX idx_webhook_events_ordering_key ON webhook_events (integration_name, ordering_key)
    WHERE ordering_key IS NOT NULL AND status IN ('pending', 'processing', 'failed');
