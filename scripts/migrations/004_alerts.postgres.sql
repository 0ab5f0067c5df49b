-- At most one open alert of a kind and integration, so that raising it again is one statement that
-- reads nothing. Keep in step with 004_alerts.sqlite.sql.
DROP INDEX idx_alerts_open;
CREATE UNIQUE INDEX idx_alerts_open ON alerts (kind, COALESCE(integration_name, '')) WHERE resolved_at IS NULL;
