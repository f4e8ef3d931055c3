/** A database with one of everything that can be moved, and some things that cannot. */

/** Roles of the cluster. */
export const richRoles = `
CREATE ROLE shop_owner LOGIN PASSWORD 'secret-owner' CREATEDB;
CREATE ROLE "Shop App" LOGIN PASSWORD 'secret-app' IN ROLE shop_owner;
CREATE ROLE readers NOLOGIN;
CREATE ROLE reporter LOGIN NOINHERIT CONNECTION LIMIT 7 IN ROLE readers;
CREATE ROLE boss LOGIN SUPERUSER;
ALTER ROLE "Shop App" SET search_path TO "$user", app, "Mixed Case";
ALTER ROLE reporter IN DATABASE shop SET statement_timeout TO '15s';
ALTER DATABASE shop SET lock_timeout TO '1min';
`

/** Run by the superuser in the database \`shop\`. */
export const richSchema = `
CREATE EXTENSION pg_trgm;
CREATE SCHEMA app AUTHORIZATION shop_owner;
CREATE EXTENSION hstore WITH SCHEMA app;
GRANT TEMPORARY, CREATE ON DATABASE shop TO reporter;
CREATE SCHEMA "Mixed Case";
GRANT USAGE ON SCHEMA app TO readers;
CREATE TYPE app.mood AS ENUM ('fine', 'it''s "odd"', 'ü');
CREATE DOMAIN app.money AS numeric(12,2) CHECK (VALUE >= 0) NOT NULL;
CREATE TYPE app.address AS (street text, zip varchar(10));
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE COLLATION app.plain (provider = libc, locale = 'C');
SET ROLE shop_owner;
CREATE FUNCTION app.total(a int, VARIADIC "More" int[] DEFAULT '{}') RETURNS int LANGUAGE sql IMMUTABLE
  AS $$ SELECT a + COALESCE((SELECT sum(x) FROM unnest("More") x), 0)::int $$;
CREATE TABLE app.everything (
  id int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5) PRIMARY KEY,
  a smallint, b bigint DEFAULT 5, c real, d double precision, e numeric(10,3), f money,
  g boolean NOT NULL DEFAULT true, h char(3), i varchar(20) COLLATE app.plain, j text, k bytea, l date,
  m time, n timetz, o timestamp(3), p timestamptz DEFAULT now(), q interval day to second, r uuid,
  s json, t jsonb, u xml, v inet, w cidr, x macaddr, y macaddr8, z bit(3), aa varbit,
  ab tsvector, ac tsquery, ad point, ae line, af lseg, ag box, ah path, ai polygon, aj circle,
  ak int4range, al int8multirange, am app.mood[], an app.money, ao app.address, ap app.span,
  aq oid, ar pg_lsn, at jsonpath, au name, av regclass, aw app.hstore, ax "char",
  ay int GENERATED ALWAYS AS (app.total(a::int, 1)) STORED,
  CONSTRAINT positive CHECK (b > 0), UNIQUE (j, b));
COMMENT ON COLUMN app.everything.a IS 'it''s a column';
CREATE TABLE app."Odd ""Name"" (x)" ("Ke Y" serial PRIMARY KEY, "Ref" int REFERENCES app.everything ON DELETE CASCADE);
GRANT SELECT ("Ke Y") ON app."Odd ""Name"" (x)" TO readers WITH GRANT OPTION;
CREATE TABLE app.parted (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE app.parted_a PARTITION OF app.parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY HASH (id);
CREATE TABLE app.parted_a0 PARTITION OF app.parted_a FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE app.parted_rest PARTITION OF app.parted DEFAULT;
CREATE INDEX parted_day ON app.parted (day);
CREATE TABLE app.parent (id int PRIMARY KEY, note text);
CREATE TABLE app.child (extra int) INHERITS (app.parent);
CREATE UNLOGGED TABLE app.fleeting (id int);
CREATE SEQUENCE app.down INCREMENT -5 MINVALUE -1000 MAXVALUE -1 CYCLE CACHE 3;
CREATE INDEX everything_trgm ON app.everything USING gin (j public.gin_trgm_ops);
CREATE INDEX everything_partial ON app.everything (lower(j) DESC) INCLUDE (b) WHERE g;
CREATE STATISTICS app.everything_stats (dependencies) ON a, b FROM app.everything;
CREATE VIEW app.cheerful WITH (security_barrier) AS SELECT id, j, app.total(a::int) AS total FROM app.everything WHERE g;
CREATE VIEW app.grouped AS SELECT id, note, count(*) FROM app.parent GROUP BY id;
CREATE MATERIALIZED VIEW app.summary AS SELECT g, count(*) AS n FROM app.everything GROUP BY g;
CREATE UNIQUE INDEX summary_g ON app.summary (g);
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = app AS $f$
BEGIN NEW.note := 'touched'; RETURN NEW; END $f$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE OF note ON app.parent FOR EACH ROW WHEN (NEW.note IS NULL) EXECUTE FUNCTION app.touch();
ALTER TABLE app.parent DISABLE TRIGGER touch;
CREATE RULE keep AS ON DELETE TO app.parent DO INSTEAD NOTHING;
ALTER TABLE app.parent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON app.parent FOR SELECT TO readers USING (note = current_user);
CREATE PROCEDURE app.tidy() LANGUAGE sql AS 'DELETE FROM app.fleeting';
CREATE AGGREGATE app.longest(text) (sfunc = textcat, stype = text, initcond = '');
CREATE OPERATOR app.@@@ (leftarg = int, rightarg = int[], function = app.total);
GRANT SELECT ON ALL TABLES IN SCHEMA app TO readers;
GRANT INSERT, UPDATE ON app.everything TO "Shop App";
GRANT USAGE ON SEQUENCE app.down TO PUBLIC;
REVOKE EXECUTE ON FUNCTION app.total FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.total TO "Shop App";
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO readers;
RESET ROLE;
CREATE TABLE "Mixed Case"."T" (id int PRIMARY KEY, self int REFERENCES "Mixed Case"."T" DEFERRABLE INITIALLY DEFERRED,
  EXCLUDE USING gist (int4range(id, self) WITH &&));
ALTER TABLE "Mixed Case"."T" OWNER TO "Shop App";
CREATE TEXT SEARCH CONFIGURATION app.plain (COPY = simple);
CREATE CAST (app.address AS text) WITH INOUT AS ASSIGNMENT;
CREATE TABLE public.of_boss (id int); ALTER TABLE public.of_boss OWNER TO boss;
CREATE PUBLICATION theirs FOR TABLE app.parent;
CREATE FUNCTION app.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION app.on_ddl();
CREATE TABLE app.not_moved (id int PRIMARY KEY);
CREATE VIEW app.over_not_moved AS SELECT * FROM app.not_moved;
INSERT INTO app.everything (a, j, an) VALUES (1, 'row', 1);
`
