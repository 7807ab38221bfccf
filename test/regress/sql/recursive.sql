-- Recursive WITH queries: followed while rows only arrive, recomputed when some leave.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_recursive;
SET search_path = t_recursive;
SET client_min_messages = warning;
CREATE TABLE node (id int PRIMARY KEY, parent int, w numeric(6, 2), label text);
CREATE TABLE edge (a int, b int, kind int);
CREATE TABLE allowed (kind int, note text);
CREATE TABLE blocked (id int);
CREATE TABLE start (id smallint);
ALTER TABLE node REPLICA IDENTITY FULL;
ALTER TABLE edge REPLICA IDENTITY FULL;
ALTER TABLE allowed REPLICA IDENTITY FULL;
ALTER TABLE start REPLICA IDENTITY FULL;
INSERT INTO node SELECT i, nullif(i / 2, 0), i / 4.0, 'n' || i FROM generate_series(1, 15) i;
INSERT INTO edge VALUES (1, 2, 1), (2, 3, 1), (3, 1, 2), (3, 4, NULL), (NULL, 5, 1), (5, NULL, 1);
INSERT INTO allowed VALUES (1, 'x'), (1, 'y'), (NULL, 'z');
INSERT INTO start VALUES (1), (NULL);
ANALYZE node, edge, allowed, start;
-- UNION: over a tree, over a graph with cycles, over one from its middle, with a second source and EXISTS in the term.
SELECT derive.create_view('tree', 'WITH RECURSIVE r(id, root) AS (SELECT id, id FROM node UNION SELECT n.id, r.root FROM node n JOIN r ON n.parent = r.id) SELECT id, root FROM r');
SELECT derive.create_view('closure', 'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r, edge e WHERE coalesce(e.a, -1) = coalesce(r.b, -1)) SELECT a, b FROM r');
SELECT derive.create_view('reached', 'WITH RECURSIVE r(id) AS (SELECT id::int FROM start UNION SELECT e.b FROM r JOIN edge e ON e.a = r.id) SELECT id FROM r');
SELECT derive.create_view('allowed_only', 'WITH RECURSIVE r AS (SELECT 1 AS x UNION SELECT e.b FROM r JOIN edge e ON e.a = r.x JOIN allowed l ON l.kind = e.kind) SELECT x FROM r');
SELECT derive.create_view('allowed_exists', 'WITH RECURSIVE r AS (SELECT 1 AS x UNION SELECT e.b FROM r JOIN edge e ON e.a = r.x WHERE EXISTS (SELECT 1 FROM allowed l WHERE l.kind = e.kind)) SELECT x FROM r');
-- UNION ALL: paths and copies count; two sources and one source twice in the term; a constant start.
SELECT derive.create_view('paths', 'WITH RECURSIVE r AS (SELECT id, 0 AS depth, label::text AS path FROM node WHERE parent IS NULL UNION ALL SELECT n.id, r.depth + 1, r.path || ''/'' || n.label FROM r JOIN node n ON n.parent = r.id) SELECT id, depth, path FROM r');
SELECT derive.create_view('walks', 'WITH RECURSIVE r AS (SELECT a, b, 1 AS n FROM edge UNION ALL SELECT r.a, e.b, r.n + 1 FROM r JOIN edge e ON e.a = r.b JOIN allowed l ON l.kind = e.kind WHERE r.n < 5) SELECT a, b, n FROM r');
SELECT derive.create_view('two_steps', 'WITH RECURSIVE r AS (SELECT 1 AS x, 0 AS n UNION ALL SELECT f.b, n + 2 FROM r, edge e, edge f WHERE e.a = r.x AND f.a = e.b AND n < 6) SELECT x, n FROM r');
SELECT derive.create_view('weights', 'WITH RECURSIVE r AS (SELECT id, w::numeric AS w FROM node WHERE parent IS NULL UNION ALL SELECT n.id, r.w * n.w FROM r JOIN node n ON n.parent = r.id) SELECT id, w FROM r');
-- What stands above a recursion follows its rows by its own rule; the branches before it may be several.
SELECT derive.create_view('under', 'WITH RECURSIVE r(id, root) AS (SELECT id, parent FROM node WHERE parent IS NOT NULL UNION SELECT r.id, n.parent FROM r JOIN node n ON n.id = r.root WHERE n.parent IS NOT NULL) SELECT root, count(*) AS n, max(label) AS last FROM r JOIN node USING (id) GROUP BY root');
SELECT derive.create_view('branches', 'WITH RECURSIVE r(x) AS (SELECT id::bigint FROM start UNION ALL SELECT a FROM edge WHERE kind = 2 UNION ALL SELECT x + 10 FROM r WHERE x < 30) SELECT x FROM r');
SELECT derive.create_view('ranges', 'WITH RECURSIVE r(x, g) AS (SELECT id, 0 FROM start UNION ALL SELECT r.x, s.g FROM r, unnest(ARRAY[r.g + 1, r.g + 2]) s(g) WHERE s.g < r.x) SELECT x, g FROM r');
-- One recursion over another.
SELECT derive.create_view('chained', 'WITH RECURSIVE r(id) AS (SELECT id::int FROM start UNION SELECT e.b FROM r JOIN edge e ON e.a = r.id), s(id) AS (SELECT id FROM r UNION SELECT n.parent FROM s JOIN node n ON n.id = s.id) SELECT id FROM s');
-- What does not recur may be any query: stages of their own, ordinary views, WITH queries, IN.
CREATE VIEW open_edge AS SELECT a, b FROM edge WHERE kind IS DISTINCT FROM 3;
SELECT derive.create_view('over_groups', 'WITH RECURSIVE r AS (SELECT a AS x, count(*) AS n FROM edge GROUP BY a UNION SELECT e.b, r.n FROM r JOIN edge e ON e.a = r.x) SELECT x, n FROM r');
SELECT derive.create_view('over_union', 'WITH RECURSIVE r AS (SELECT a AS x FROM edge WHERE kind = 2 UNION ALL SELECT * FROM (SELECT id FROM node WHERE label IS NULL EXCEPT SELECT id FROM blocked) q UNION SELECT e.b FROM r JOIN edge e ON e.a = r.x) SELECT x FROM r');
SELECT derive.create_view('over_view', 'WITH RECURSIVE k AS (SELECT DISTINCT kind FROM allowed), r(id) AS (SELECT b FROM open_edge WHERE a = 1 UNION SELECT e.b FROM r JOIN open_edge e ON e.a = r.id WHERE e.b IN (SELECT parent FROM node)), s(id) AS (SELECT id FROM r UNION ALL SELECT s.id * 10 FROM s JOIN k ON k.kind > s.id) SELECT id FROM s');
SELECT derive.create_view('over_counts', 'WITH RECURSIVE r(id) AS (SELECT 1 UNION SELECT n.id FROM r JOIN node n ON n.parent = r.id JOIN (SELECT parent, count(*) AS children FROM node GROUP BY parent) c ON c.parent = n.id) SELECT id FROM r');
SELECT derive.create_view('recomputed', 'WITH RECURSIVE r(x) AS (SELECT 1 UNION SELECT e.b FROM r LEFT JOIN open_edge e ON e.a = r.x) SELECT x FROM r');
SELECT derive.create_view('cycles', 'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION ALL SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) CYCLE a, b SET again USING path SELECT a, b, again FROM r');
SELECT derive.create_view('searched', 'WITH RECURSIVE r AS (SELECT id, 1 AS depth FROM node WHERE parent IS NULL UNION ALL SELECT n.id, depth + 1 FROM r JOIN node n ON n.parent = r.id) SEARCH DEPTH FIRST BY id SET path SELECT depth, count(*) AS n FROM r GROUP BY depth');
SELECT view, rule FROM derive.views ORDER BY view::text COLLATE "C";
CALL test.check_all();
-- All that happens from here on, until it says otherwise, is followed, but where a group's count changes: there a row
-- leaves and another one comes, if the recursion reads it.
ANALYZE node, edge, allowed, start, blocked;
CREATE TABLE before AS SELECT stage, ticks, recomputes FROM derive.stages WHERE rule = 'recursion';
INSERT INTO node VALUES (16, 8, 4, 'n16'), (17, 16, 0.5, 'n17'), (100, NULL, 1, 'r'), (101, 100, 1, NULL), (102, 77, NULL, 'x');
INSERT INTO start VALUES (3), (3), (NULL);
CALL test.check_all();
INSERT INTO edge VALUES (4, 5, 1), (4, 5, 1), (4, 4, 1), (2, NULL, 1);
CALL test.check_all();
BEGIN;
INSERT INTO edge VALUES (4, 6, 9), (6, 7, 9), (7, 1, 9);
INSERT INTO allowed VALUES (9, 'a'), (9, 'b'), (2, 'c');
INSERT INTO node VALUES (77, 6, 3, 'late parent');
INSERT INTO start VALUES (6), (-5);
COMMIT;
CALL test.check_all();
-- What comes and goes within a tick has never been there; an update that leaves the columns alone is none.
BEGIN;
INSERT INTO edge VALUES (7, 8, 1), (8, 9, 1);
DELETE FROM edge WHERE a = 8;
UPDATE allowed SET note = 'other';
UPDATE edge SET kind = 1 WHERE a = 7 AND b = 8;
COMMIT;
CALL test.check_all();
-- An update of a column that one of them reads is none for the others, and what arrives with it is followed there.
BEGIN;
UPDATE node SET w = 9 WHERE id IN (8, 17);
INSERT INTO node VALUES (18, 17, 2, 'n18'), (19, NULL, 2, 'n19');
COMMIT;
CALL test.check_all();
SELECT s.view, s.ticks - b.ticks > s.recomputes - b.recomputes AS followed, s.recomputes - b.recomputes AS recomputes, s.chosen, s.repairs
FROM before b JOIN derive.stages s USING (stage) ORDER BY s.view::text COLLATE "C", s.stage;
-- Rows that leave, alone or with others that arrive: recomputed.
DELETE FROM edge WHERE a = 3 AND b = 1;
CALL test.check_all();
UPDATE node SET parent = 3 WHERE id = 4;
CALL test.check_all();
BEGIN;
DELETE FROM node WHERE id = 5;
INSERT INTO node VALUES (5, 1, 2, 'again'), (200, 5, 1, 'new');
UPDATE edge SET b = 1 WHERE b = 4;
INSERT INTO edge VALUES (1, 9, 1);
COMMIT;
CALL test.check_all();
TRUNCATE allowed;
CALL test.check_all();
INSERT INTO allowed VALUES (1, NULL), (NULL, NULL);
INSERT INTO edge VALUES (9, 10, 1);
CALL test.check_all();
SELECT s.view, s.recomputes > b.recomputes AS recomputed, s.repairs
FROM before b JOIN derive.stages s USING (stage) ORDER BY s.view::text COLLATE "C", s.stage;
-- What is not followed, and why.
CREATE FUNCTION why(query text) RETURNS SETOF text LANGUAGE sql AS
    $$ SELECT line FROM derive.explain(query => why.query) line WHERE line ~ '^  rule: recompute' $$;
SELECT why('WITH RECURSIVE r AS (SELECT w::numeric FROM node UNION SELECT r.w + n.w FROM r JOIN node n ON n.w = r.w) SELECT w FROM r');
SELECT why('WITH RECURSIVE r AS (SELECT 1.5::float8 AS x UNION SELECT x + 1 FROM r WHERE x < 9) SELECT x FROM r');
SELECT why('WITH RECURSIVE r AS (SELECT 1 AS x UNION SELECT e.b FROM r JOIN edge e ON e.a = r.x WHERE NOT EXISTS (SELECT 1 FROM blocked k WHERE k.id = e.b)) SELECT x FROM r');
SELECT why('WITH RECURSIVE r AS (SELECT 1 AS x UNION SELECT e.b FROM r LEFT JOIN edge e ON e.a = r.x) SELECT x FROM r');
SELECT why('WITH RECURSIVE r AS (SELECT 1 AS x UNION SELECT e.b FROM r JOIN edge e ON e.a = r.x WHERE e.b > (SELECT count(*) FROM blocked)) SELECT x FROM r');
SELECT why('WITH RECURSIVE r AS (SELECT a, b FROM edge UNION ALL SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) SEARCH BREADTH FIRST BY a SET o SELECT a, b FROM r');
SELECT why('WITH RECURSIVE r AS (SELECT a, b FROM edge UNION ALL SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) CYCLE a, b SET is_cycle USING path SELECT a, b FROM r');
SELECT why('WITH RECURSIVE r AS (SELECT 1 AS x, 1 AS n UNION ALL SELECT x + 1, count(*) OVER ()::int FROM r WHERE x < 9) SELECT x, n FROM r');
SELECT why('WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM (SELECT x FROM r ORDER BY x LIMIT 1) q WHERE x < 9) SELECT x FROM r');
-- Other conditions would be refused by name, as ever.
SELECT derive.create_view('fails', 'WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r WHERE x < random()) SELECT x FROM r');
SELECT * FROM derive.explain(query => 'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) SELECT a, b FROM r');
SELECT * FROM derive.explain(query => 'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION ALL SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) SELECT a, b FROM r');
-- Texts that mark a cycle.  PostgreSQL cannot read what it prints of them, so check_all could not, either.
\set marked 'WITH RECURSIVE r AS (SELECT a, b FROM edge UNION ALL SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) CYCLE a, b SET again TO ''it''''s'' DEFAULT ''no'' USING path SELECT a, b, again FROM r'
SELECT derive.create_view('marked', :'marked');
INSERT INTO edge VALUES (3, 1, 1);
CALL test.settle();
SELECT count(*), count(*) FILTER (WHERE again = 'it''s') AS again FROM marked;
(TABLE marked EXCEPT ALL (:marked)) UNION ALL ((:marked) EXCEPT ALL TABLE marked);
-- The recursion's own table has its index; those of the user's tables are named.
SELECT derive.advise('closure'), derive.advise('tree');
SELECT regexp_replace(indexdef, 'tree_[0-9]+_stage', 'stage', 'g') FROM pg_indexes WHERE schemaname = 'derive_state' AND tablename = (SELECT relname FROM pg_class c JOIN derive.stages s ON s.stage = c.oid WHERE s.view = 'tree'::regclass AND rule = 'recursion') ORDER BY 1;
DROP SCHEMA t_recursive CASCADE;
