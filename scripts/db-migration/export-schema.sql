-- The definitions of the connected database as SQL, for those who have psql and no pg_dump:
--
--   psql -XAtq -v ON_ERROR_STOP=1 -f export-schema.sql SOURCE > schema.sql
--   psql -X -v ON_ERROR_STOP=1 -f schema.sql TARGET
--
-- PostgreSQL 10 to 18. Reads only. Schemas, extensions, collations, enum, composite, range and
-- domain types, sequences, tables (partitioned, inherited, unlogged), functions, defaults, views,
-- constraints, indexes, statistics objects, triggers, rules, policies, owners, grants, comments on
-- relations, columns and functions. The application's roles have to be there.
-- Left out: aggregates, operators, casts, text search, foreign data, event triggers, publications,
-- default privileges, storage settings of columns. pg_dump, and so pontoon schema, knows all.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset null ''
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL search_path = pg_catalog;

SELECT E'SET check_function_bodies = off;\nSET client_min_messages = warning;\nSET search_path = pg_catalog;';

-- Extensions and schemas
SELECT format('CREATE SCHEMA IF NOT EXISTS %I;', nspname) || CASE WHEN nspname = 'public' THEN ''
    ELSE format(E'\nALTER SCHEMA %I OWNER TO %I;', nspname, pg_get_userbyid(nspowner)) END
FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'pontoon')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
ORDER BY nspname;
SELECT format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I;', extname, nspname)
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname <> 'plpgsql' ORDER BY e.oid;

-- Collations: their columns are named differently from 17 on, and some came with 12
SELECT format('CREATE COLLATION %I.%I (provider = %s, %s%s);', n.nspname, c.collname,
  CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
  CASE WHEN c.collprovider IN ('i', 'b') THEN format('locale = %L', COALESCE(to_jsonb(c)->>'colllocale', to_jsonb(c)->>'colliculocale', c.collcollate))
    WHEN c.collcollate = c.collctype THEN format('locale = %L', c.collcollate)
    ELSE format('lc_collate = %L, lc_ctype = %L', c.collcollate, c.collctype) END,
  CASE to_jsonb(c)->>'collisdeterministic' WHEN 'false' THEN ', deterministic = false' ELSE '' END)
  || format(E'\nALTER COLLATION %I.%I OWNER TO %I;', n.nspname, c.collname, pg_get_userbyid(c.collowner))
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pontoon')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_collation'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.oid;

-- Types, in the order in which they were made
SELECT CASE t.typtype
  WHEN 'e' THEN format('CREATE TYPE %I.%I AS ENUM (%s);', n.nspname, t.typname,
    (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
  WHEN 'c' THEN format('CREATE TYPE %I.%I AS (%s);', n.nspname, t.typname,
    (SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
     FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped))
  WHEN 'r' THEN (SELECT format('CREATE TYPE %I.%I AS RANGE (subtype = %s%s);', n.nspname, t.typname,
      format_type(r.rngsubtype, NULL), CASE WHEN r.rngsubdiff = 0 THEN '' ELSE ', subtype_diff = ' || r.rngsubdiff END)
    FROM pg_range r WHERE r.rngtypid = t.oid)
  WHEN 'd' THEN format('CREATE DOMAIN %I.%I AS %s%s%s%s;', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod),
    COALESCE(' DEFAULT ' || t.typdefault, ''), CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END,
    COALESCE((SELECT string_agg(format(' CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)), '' ORDER BY oid)
      FROM pg_constraint WHERE contypid = t.oid AND contype = 'c'), ''))
  END || format(E'\nALTER %s %I.%I OWNER TO %I;', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, n.nspname, t.typname, pg_get_userbyid(t.typowner))
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pontoon')
  AND (t.typtype IN ('e', 'r', 'd') OR t.typtype = 'c' AND c.relkind = 'c')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
ORDER BY t.oid;

-- Relations and functions of the user, for all that follows
SELECT $$c.oid NOT IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pontoon') AND c.relpersistence <> 't'$$ AS own_relation \gset
-- Constructors of ranges come with their type (deptype i).
SELECT $$p.oid NOT IN (SELECT objid FROM pg_depend WHERE classid = 'pg_proc'::regclass AND deptype IN ('e', 'i'))
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pontoon')
  AND NOT EXISTS (SELECT FROM pg_aggregate a WHERE a.aggfnoid = p.oid)$$ AS own_function \gset
-- Functions that take or give rows of tables come after the tables.
SELECT $$EXISTS (SELECT FROM pg_depend d JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)
  JOIN pg_class c ON c.oid = t.typrelid AND c.relkind <> 'c' WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid)$$ AS takes_rows \gset

SELECT format(E'CREATE SEQUENCE %I.%I AS %s INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s%s;\nALTER SEQUENCE %1$I.%2$I OWNER TO %10$I;',
  n.nspname, c.relname, format_type(s.seqtypid, NULL), s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache,
  CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END, pg_get_userbyid(c.relowner))
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE :own_relation AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i')
ORDER BY c.oid;

SELECT rtrim(pg_get_functiondef(p.oid), E'\n') || ';' || format(E'\nALTER %s %s OWNER TO %I;',
  CASE to_jsonb(p)->>'prokind' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::regprocedure, pg_get_userbyid(p.proowner))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE :own_function AND NOT :takes_rows ORDER BY p.oid;

-- Tables: parents before their children, columns with identity and generation, defaults later
WITH RECURSIVE depth(oid, level) AS (
  SELECT c.oid, 0 FROM pg_class c WHERE NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)
  UNION ALL SELECT h.inhrelid, d.level + 1 FROM depth d JOIN pg_inherits h ON h.inhparent = d.oid)
SELECT CASE WHEN c.relispartition THEN format('CREATE TABLE %I.%I PARTITION OF %s %s', n.nspname, c.relname,
    (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = c.oid), pg_get_expr(c.relpartbound, c.oid))
  ELSE format(E'CREATE %sTABLE %I.%I (%s)%s', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, n.nspname, c.relname,
    (SELECT string_agg(format(E'\n  %I %s%s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
          THEN (SELECT format(' COLLATE %I.%I', cn.nspname, co.collname) FROM pg_collation co
            JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) ELSE '' END,
        CASE to_jsonb(a)->>'attgenerated' WHEN 's' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(f.adbin, f.adrelid))
          WHEN 'v' THEN format(' GENERATED ALWAYS AS (%s) VIRTUAL', pg_get_expr(f.adbin, f.adrelid)) ELSE '' END,
        CASE WHEN a.attidentity <> '' THEN (SELECT format(' GENERATED %s AS IDENTITY (SEQUENCE NAME %I.%I INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s%s)',
            CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, sn.nspname, sc.relname,
            s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END)
          FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid JOIN pg_class sc ON sc.oid = s.seqrelid JOIN pg_namespace sn ON sn.oid = sc.relnamespace
          WHERE d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype = 'i' AND d.classid = 'pg_class'::regclass) ELSE '' END,
        CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END), ',' ORDER BY a.attnum)
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attislocal),
    COALESCE(E'\nINHERITS (' || (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = c.oid) || ')', '')) END
  || CASE c.relkind WHEN 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(c.oid) ELSE '' END
  || COALESCE(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '')
  || format(E';\nALTER TABLE %I.%I OWNER TO %I;', n.nspname, c.relname, pg_get_userbyid(c.relowner))
  || CASE c.relreplident WHEN 'f' THEN format(E'\nALTER TABLE %I.%I REPLICA IDENTITY FULL;', n.nspname, c.relname)
       WHEN 'n' THEN format(E'\nALTER TABLE %I.%I REPLICA IDENTITY NOTHING;', n.nspname, c.relname) ELSE '' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN (SELECT oid, max(level) AS level FROM depth GROUP BY oid) d ON d.oid = c.oid
WHERE c.relkind IN ('r', 'p') AND :own_relation ORDER BY d.level, c.oid;

SELECT rtrim(pg_get_functiondef(p.oid), E'\n') || ';' || format(E'\nALTER %s %s OWNER TO %I;',
  CASE to_jsonb(p)->>'prokind' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::regprocedure, pg_get_userbyid(p.proowner))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE :own_function AND :takes_rows ORDER BY p.oid;

SELECT format('ALTER TABLE ONLY %I.%I ALTER COLUMN %I SET DEFAULT %s;', n.nspname, c.relname, a.attname, pg_get_expr(f.adbin, f.adrelid))
FROM pg_attrdef f JOIN pg_class c ON c.oid = f.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.adnum
WHERE c.relkind IN ('r', 'p') AND :own_relation AND COALESCE(to_jsonb(a)->>'attgenerated', '') = '' ORDER BY c.oid, a.attnum;
SELECT format('ALTER SEQUENCE %I.%I OWNED BY %s.%I;', n.nspname, c.relname, d.refobjid::regclass, a.attname)
FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND :own_relation ORDER BY c.oid;

-- Checks, keys (a foreign key needs the key it refers to), indexes
SELECT format('ALTER TABLE %s%s ADD CONSTRAINT %I %s;', CASE WHEN c.relkind = 'p' THEN '' WHEN k.contype = 'c' THEN '' ELSE 'ONLY ' END,
  k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('c', 'p', 'u', 'x', 'f') AND k.conislocal AND k.coninhcount = 0 AND c.relkind IN ('r', 'p')
  AND COALESCE((to_jsonb(k)->>'conparentid')::oid, 0) = 0 AND :own_relation
ORDER BY array_position(ARRAY['c', 'p', 'u', 'x', 'f']::"char"[], k.contype), k.oid;

-- Views and materialized views, in the order of what they are made of
WITH RECURSIVE uses AS (
  SELECT DISTINCT r.ev_class AS view, d.refobjid AS used FROM pg_rewrite r
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm') WHERE d.refobjid <> r.ev_class
), depth(oid, level) AS (
  SELECT c.oid, 0 FROM pg_class c WHERE c.relkind IN ('v', 'm')
  UNION SELECT u.view, d.level + 1 FROM depth d JOIN uses u ON u.used = d.oid WHERE d.level < 200)
SELECT format(E'CREATE %sVIEW %I.%I%s AS\n%s%s;\nALTER TABLE %2$I.%3$I OWNER TO %7$I;', CASE c.relkind WHEN 'm' THEN 'MATERIALIZED ' ELSE '' END,
  n.nspname, c.relname, COALESCE(' WITH (' || array_to_string(c.reloptions, ', ') || ')', ''),
  rtrim(pg_get_viewdef(c.oid), ';'), CASE c.relkind WHEN 'm' THEN E'\n  WITH NO DATA' ELSE '' END, pg_get_userbyid(c.relowner))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN (SELECT oid, max(level) AS level FROM depth GROUP BY oid) d ON d.oid = c.oid
WHERE c.relkind IN ('v', 'm') AND :own_relation ORDER BY d.level, c.oid;

SELECT pg_get_indexdef(i.indexrelid) || ';' FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE :own_relation AND c.relkind IN ('r', 'p', 'm') AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.indexrelid;
SELECT format('ALTER INDEX %s ATTACH PARTITION %s;', h.inhparent::regclass, h.inhrelid::regclass)
FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE :own_relation AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) ORDER BY h.inhrelid;
SELECT pg_get_statisticsobjdef(s.oid) || format(E';\nALTER STATISTICS %I.%I OWNER TO %I;', sn.nspname, s.stxname, pg_get_userbyid(s.stxowner))
FROM pg_statistic_ext s JOIN pg_namespace sn ON sn.oid = s.stxnamespace JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE :own_relation ORDER BY s.oid;
SELECT format('ALTER TABLE %I.%I REPLICA IDENTITY USING INDEX %I;', n.nspname, c.relname, x.relname)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indisreplident AND :own_relation ORDER BY c.oid;

-- Triggers, rules, row security
SELECT pg_get_triggerdef(t.oid) || ';' || CASE t.tgenabled WHEN 'O' THEN '' ELSE format(E'\nALTER TABLE %s %s TRIGGER %I;', t.tgrelid::regclass,
  CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, t.tgname) END
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND COALESCE((to_jsonb(t)->>'tgparentid')::oid, 0) = 0 AND :own_relation ORDER BY t.oid;
SELECT pg_get_ruledef(r.oid) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND :own_relation ORDER BY r.oid;
SELECT format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY%s;', n.nspname, c.relname, CASE WHEN c.relforcerowsecurity THEN ', FORCE ROW LEVEL SECURITY' ELSE '' END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relrowsecurity AND :own_relation ORDER BY c.oid;
SELECT format('CREATE POLICY %I ON %I.%I AS %s FOR %s TO %s%s%s;', p.polname, n.nspname, c.relname,
  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
  (SELECT string_agg(CASE WHEN o = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ') FROM unnest(p.polroles) o),
  COALESCE(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ''), COALESCE(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''))
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE :own_relation ORDER BY p.oid;

-- Grants: whoever is named loses what the target gave him by itself first
WITH granted(kind, name, acl, owner, position) AS (
  SELECT 'SCHEMA', quote_ident(n.nspname), n.nspacl, n.nspowner, 0 FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pontoon')
  UNION ALL SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('%I.%I', n.nspname, c.relname), c.relacl, c.relowner, 1
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND :own_relation
  UNION ALL SELECT CASE to_jsonb(p)->>'prokind' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::regprocedure::text, p.proacl, p.proowner, 2
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE :own_function)
SELECT line FROM (
  SELECT g.position, g.name, 0 AS step, format('REVOKE ALL ON %s %s FROM PUBLIC;', g.kind, g.name) AS line FROM granted g WHERE g.acl IS NOT NULL AND g.name <> 'public'
  UNION ALL SELECT g.position, g.name, 1, format('GRANT %s ON %s %s TO %s%s;', string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), g.kind, g.name,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM granted g CROSS JOIN LATERAL aclexplode(g.acl) a WHERE a.grantee <> g.owner GROUP BY g.position, g.kind, g.name, a.grantee, a.is_grantable
  UNION ALL SELECT 3, format('%I.%I', n.nspname, c.relname), 1, format('GRANT %s (%I) ON %I.%I TO %s%s;', string_agg(x.privilege_type, ', '), a.attname, n.nspname, c.relname,
      CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(a.attacl) x
    WHERE NOT a.attisdropped AND :own_relation GROUP BY n.nspname, c.relname, a.attname, x.grantee, x.is_grantable) lines
ORDER BY position, name, step, line;

SELECT format('COMMENT ON %s IS %L;', CASE WHEN d.objsubid > 0 THEN format('COLUMN %I.%I.%I', n.nspname, c.relname, a.attname)
  ELSE format('%s %I.%I', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX'
    WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, n.nspname, c.relname) END, d.description)
FROM pg_description d JOIN pg_class c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE :own_relation ORDER BY c.oid, d.objsubid;
SELECT format('COMMENT ON FUNCTION %s IS %L;', p.oid::regprocedure, d.description)
FROM pg_description d JOIN pg_proc p ON d.classoid = 'pg_proc'::regclass AND p.oid = d.objoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE :own_function AND COALESCE(to_jsonb(p)->>'prokind', 'f') <> 'p' ORDER BY p.oid;
COMMIT;
