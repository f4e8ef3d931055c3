#!/bin/sh
# First start of the managed PostgreSQL: role and empty tables; the rows come by replication.
set -eu
folder=${PONTOON_FOLDER:-/pontoon}
psql --quiet -v ON_ERROR_STOP=1 -v app="$APP_PASSWORD" -v schema="$folder/schema.sql" \
  --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE app LOGIN PASSWORD :'app';
\i :schema
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
SQL
