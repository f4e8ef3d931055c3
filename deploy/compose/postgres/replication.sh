#!/bin/sh
# Lets the target follow the source, once. Where to connect to is in PGHOST and the like.
set -eu
there=$(psql --no-align --tuples-only -c "SELECT 1 FROM pg_subscription WHERE subname = 'orders_from_source'")
[ -z "$there" ] || exit 0
conninfo="host=$SOURCE_HOST port=$SOURCE_PORT dbname=orders user=replicator password=$REPLICATION_PASSWORD"
psql --quiet -v ON_ERROR_STOP=1 -v conninfo="$conninfo" <<'SQL'
CREATE SUBSCRIPTION orders_from_source CONNECTION :'conninfo' PUBLICATION orders_to_target;
SQL
