-- What processing webhook events needs. Keep in step with 003_webhooks.sqlite.sql, which says what
-- the columns mean.
ALTER TABLE webhook_events ADD COLUMN started_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE webhook_events ADD COLUMN duration_ms INTEGER;
ALTER TABLE webhook_events ADD COLUMN error_type VARCHAR(50);
ALTER TABLE webhook_events ADD COLUMN attempt_log JSONB;

DROP INDEX idx_webhook_events_pending;
DROP INDEX idx_webhook_events_processing;
DROP INDEX idx_webhook_events_ordering_key;

CREATE INDEX idx_webhook_events_pending ON webhook_events (integration_name, next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX idx_webhook_events_processing ON webhook_events (lease_until) WHERE status = 'processing';
CREATE INDEX idx_webhook_events_ordering_key ON webhook_events (integration_name, ordering_key, id)
    WHERE ordering_key IS NOT NULL AND status IN ('pending', 'processing', 'failed');
