#!/bin/sh
# First start of the self-hosted PostgreSQL: roles, the sample shop, what replication needs.
set -eu
folder=${PONTOON_FOLDER:-/pontoon}
psql --quiet -v ON_ERROR_STOP=1 -v app="$APP_PASSWORD" -v replicator="$REPLICATION_PASSWORD" \
  -v schema="$folder/schema.sql" -v seed="$folder/seed.sql" \
  --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE app LOGIN PASSWORD :'app';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replicator';
\i :schema
\i :seed
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO replicator;
CREATE PUBLICATION orders_to_target FOR ALL TABLES;
SQL
