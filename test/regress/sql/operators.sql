-- Operators outside pg_catalog in what has no place to name them: NULLIF, CASE, IS DISTINCT FROM, USING, rows.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/oracle.sql
\set ECHO all
CREATE SCHEMA t_operators;
SET search_path = t_operators;
-- A text whose case is of no importance, and which is also a text, as citext.
SET client_min_messages = warning;
CREATE TYPE word;
CREATE FUNCTION word_in(cstring) RETURNS word IMMUTABLE STRICT LANGUAGE internal AS 'textin';
CREATE FUNCTION word_out(word) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout';
CREATE TYPE word (INPUT = word_in, OUTPUT = word_out, LIKE = text, CATEGORY = 'S', COLLATABLE = true);
CREATE CAST (word AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE FUNCTION word_cmp(word, word) RETURNS int IMMUTABLE STRICT LANGUAGE sql AS 'SELECT bttextcmp(lower($1::text COLLATE "C"), lower($2::text COLLATE "C"))';
CREATE FUNCTION word_lt(word, word) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT t_operators.word_cmp($1, $2) < 0';
CREATE FUNCTION word_le(word, word) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT t_operators.word_cmp($1, $2) <= 0';
CREATE FUNCTION word_eq(word, word) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT t_operators.word_cmp($1, $2) = 0';
CREATE FUNCTION word_ne(word, word) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT t_operators.word_cmp($1, $2) <> 0';
CREATE FUNCTION word_ge(word, word) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT t_operators.word_cmp($1, $2) >= 0';
CREATE FUNCTION word_gt(word, word) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT t_operators.word_cmp($1, $2) > 0';
CREATE FUNCTION word_hash(word) RETURNS int IMMUTABLE STRICT LANGUAGE sql AS 'SELECT hashtext(lower($1::text COLLATE "C"))';
CREATE OPERATOR < (LEFTARG = word, RIGHTARG = word, FUNCTION = word_lt, COMMUTATOR = >, NEGATOR = >=);
CREATE OPERATOR <= (LEFTARG = word, RIGHTARG = word, FUNCTION = word_le, COMMUTATOR = >=, NEGATOR = >);
CREATE OPERATOR = (LEFTARG = word, RIGHTARG = word, FUNCTION = word_eq, COMMUTATOR = =, NEGATOR = <>, MERGES, HASHES);
CREATE OPERATOR <> (LEFTARG = word, RIGHTARG = word, FUNCTION = word_ne, COMMUTATOR = <>, NEGATOR = =);
CREATE OPERATOR >= (LEFTARG = word, RIGHTARG = word, FUNCTION = word_ge, COMMUTATOR = <=, NEGATOR = <);
CREATE OPERATOR > (LEFTARG = word, RIGHTARG = word, FUNCTION = word_gt, COMMUTATOR = <, NEGATOR = <=);
CREATE OPERATOR CLASS word_ops DEFAULT FOR TYPE word USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 word_cmp(word, word);
CREATE OPERATOR CLASS word_hash_ops DEFAULT FOR TYPE word USING hash AS OPERATOR 1 =, FUNCTION 1 word_hash(word);
-- Each as an ordinary view, too: what derived ones say of their queries has other forms.
CREATE PROCEDURE make(name text, query text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE VIEW ordinary_%s AS %s', name, query);
    PERFORM derive.create_view(name, query);
END $$;
CREATE PROCEDURE compare() LANGUAGE plpgsql AS $$
DECLARE
    v record;
    differ bigint;
BEGIN
    CALL test.settle();
    FOR v IN SELECT view, view::text AS name FROM derive.views WHERE to_regclass('ordinary_' || view::text) IS NOT NULL ORDER BY view::text COLLATE "C" LOOP
        EXECUTE format('SELECT count(*) FROM ((SELECT stored_row::text FROM %1$s stored_row EXCEPT ALL SELECT wanted_row::text FROM ordinary_%1$s wanted_row)
            UNION ALL (SELECT wanted_row::text FROM ordinary_%1$s wanted_row EXCEPT ALL SELECT stored_row::text FROM %1$s stored_row)) d', v.name) INTO differ;
        RAISE INFO '%: %', v.name, CASE differ WHEN 0 THEN 'equal' ELSE 'DIFFERENT' END;
    END LOOP;
END $$;
RESET client_min_messages;
CREATE TABLE s (id int, w word, n int);
CREATE TABLE r (key int, w word, n int);
ALTER TABLE s REPLICA IDENTITY FULL;
ALTER TABLE r REPLICA IDENTITY FULL;
CALL make('nulled', 'SELECT id, NULLIF(w, ''A'') AS w FROM s WHERE NULLIF(w, ''C'') IS NULL OR n IS NOT NULL');
CALL make('chosen', 'SELECT id, CASE w WHEN ''a'' THEN 1 WHEN (SELECT max(w) FROM r) THEN 2 ELSE 3 END AS c, CASE n WHEN 1 THEN ''one'' END AS n FROM s');
CALL make('distinct_from', 'SELECT s.id, r.key, s.w IS DISTINCT FROM ''B'' AS b FROM s LEFT JOIN r ON s.w IS NOT DISTINCT FROM r.w');
CALL make('using_left', 'SELECT s.id, w::text AS w, r.key FROM s LEFT JOIN r USING (w)');
CALL make('using_full', 'SELECT lower(j.w) AS w, count(j.a) AS s, count(j.b) AS r FROM (s FULL JOIN r USING (w, n)) AS j (w, n, a, b) GROUP BY j.w');
CALL make('using_named', 'SELECT j.w::text AS w, s.n, (SELECT count(*) FROM r q WHERE q.w = j.w) AS c FROM s JOIN r USING (w) AS j');
CALL make('rows_compared', 'SELECT id, (n, w) < (2, ''b'') AS lt, (w, n) >= (''B'', 2) AS ge FROM s WHERE (w, id, n) <= (''d'', 3, 1) OR w IS NULL');
CALL make('rows_in', 'SELECT id, (n, w) IN (SELECT n, w FROM r) AS i, (w, n) NOT IN (SELECT w, n FROM r WHERE r.key > s.id) AS ni FROM s');
CALL make('row_of_subquery', 'SELECT id, (n, w) = (SELECT n, w FROM r ORDER BY key, n, w, w::text COLLATE "C" LIMIT 1) AS eq, (n, w) < (SELECT 2, ''B''::word) AS lt FROM s');
CALL make('row_any', 'SELECT id FROM s WHERE (n, w) = ANY (SELECT n, w FROM r ORDER BY key LIMIT 100 OFFSET (SELECT count(*) / 100 FROM r)) OR n = 7');
CALL make('folded', 'SELECT n, count(NULLIF(w, ''a'')) AS c, sum(CASE w WHEN ''A'' THEN 1 WHEN ''B'' THEN 2 END) AS s FROM s GROUP BY n HAVING max(w) IS DISTINCT FROM ''c''');
CALL make('windowed', 'SELECT id, NULLIF(w, ''a'') IS NULL AS g, count(*) OVER (PARTITION BY NULLIF(w, ''a'') IS NULL) AS c FROM s');
CALL compare();
INSERT INTO s VALUES (1, 'a', 1), (2, 'A', 1), (3, 'b', 2), (4, 'B', NULL), (5, NULL, 1), (6, 'c', 3), (6, 'C', 3);
CALL compare();
INSERT INTO r VALUES (1, 'A', 1), (2, 'B', 2), (3, 'b', NULL), (4, NULL, 1), (5, 'd', 3);
CALL compare();
UPDATE s SET w = upper(w::text)::word WHERE id IN (1, 3, 6);
UPDATE r SET w = 'C' WHERE key IN (2, 5);
CALL compare();
DELETE FROM r WHERE key IN (1, 4);
UPDATE s SET w = NULL, n = 2 WHERE id = 2;
CALL compare();
DELETE FROM s WHERE w = 'b' OR w IS NULL;
CALL compare();
SELECT view, derive.verify(view) FROM derive.views WHERE view::text !~ '\.' ORDER BY 1;
SELECT s.view, s.repairs FROM derive.stages s WHERE s.repairs > 0;
-- The text of a definition means the same where only pg_catalog is searched, as in a dump.  (Versions
-- print its first column differently.)
CALL test.check_all();
SET search_path = pg_catalog, pg_temp;
SELECT substr(query, strpos(query, '(true')) AS query FROM derive.views WHERE view = 't_operators.rows_in'::regclass;
SELECT query FROM derive.views WHERE view = 't_operators.using_named'::regclass;
SET search_path = t_operators;
CALL make('aggregates', 'SELECT w FROM s GROUP BY w HAVING (count(*), w) IN (SELECT n, w FROM r)');
-- Core's own stay as they are.
SELECT line FROM derive.explain(query => 'SELECT id, NULLIF(w, ''a'') AS w, NULLIF(n, 1) AS n FROM s') line WHERE line ~ 'NULLIF|CASE';
SET client_min_messages = warning;
DROP SCHEMA t_operators CASCADE;
