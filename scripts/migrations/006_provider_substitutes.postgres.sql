-- What serves in place of a version that was rolled back: the file of an earlier one and the scripts that it
-- required, as bytes (substitute.lua). Keep in step with 006_provider_substitutes.sqlite.sql.
ALTER TABLE provider_versions ADD COLUMN substitute BYTEA;
