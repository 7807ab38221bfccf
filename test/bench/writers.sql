-- writers.sql: what the views of writers.sh compete with.

CREATE MATERIALIZED VIEW branch_refreshed AS
SELECT bid, count(*) AS accounts, sum(abalance) AS balance FROM pgbench_accounts GROUP BY bid;
CREATE UNIQUE INDEX ON branch_refreshed (bid);

CREATE TABLE branch_kept (
	bid integer PRIMARY KEY,
	accounts bigint NOT NULL,
	balance bigint NOT NULL
) WITH (fillfactor = 10);
CREATE TABLE overall_kept (accounts bigint NOT NULL, balance bigint NOT NULL) WITH (fillfactor = 10);

-- One statement trigger per kind of change, as a careful person would write them: each gets its
-- transition tables, nets them per group and touches each group once, in order.
CREATE FUNCTION keep_branch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' THEN
		UPDATE branch_kept k
		   SET accounts = k.accounts + d.accounts, balance = k.balance + d.balance
		  FROM (SELECT bid, sum(sign) AS accounts, sum(sign * abalance) AS balance
		          FROM (SELECT 1 AS sign, bid, abalance FROM new_rows
		                UNION ALL
		                SELECT -1, bid, abalance FROM old_rows) AS c
		         GROUP BY bid ORDER BY bid) AS d
		 WHERE k.bid = d.bid;
	ELSIF TG_OP = 'INSERT' THEN
		INSERT INTO branch_kept AS k
		SELECT bid, count(*), sum(abalance) FROM new_rows GROUP BY bid ORDER BY bid
		ON CONFLICT (bid) DO UPDATE
		SET accounts = k.accounts + excluded.accounts, balance = k.balance + excluded.balance;
	ELSE
		UPDATE branch_kept k
		   SET accounts = k.accounts - d.accounts, balance = k.balance - d.balance
		  FROM (SELECT bid, count(*) AS accounts, sum(abalance) AS balance
		          FROM old_rows GROUP BY bid ORDER BY bid) AS d
		 WHERE k.bid = d.bid;
		DELETE FROM branch_kept WHERE accounts = 0;
	END IF;
	RETURN NULL;
END;
$$;

CREATE FUNCTION keep_overall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' THEN
		UPDATE overall_kept k SET balance = k.balance
			+ (SELECT coalesce(sum(abalance), 0) FROM new_rows)
			- (SELECT coalesce(sum(abalance), 0) FROM old_rows);
	ELSIF TG_OP = 'INSERT' THEN
		UPDATE overall_kept k SET accounts = k.accounts + (SELECT count(*) FROM new_rows),
			balance = k.balance + (SELECT coalesce(sum(abalance), 0) FROM new_rows);
	ELSE
		UPDATE overall_kept k SET accounts = k.accounts - (SELECT count(*) FROM old_rows),
			balance = k.balance - (SELECT coalesce(sum(abalance), 0) FROM old_rows);
	END IF;
	RETURN NULL;
END;
$$;

DO $$
DECLARE
	subject text;
BEGIN
	FOREACH subject IN ARRAY ARRAY['branch', 'overall'] LOOP
		EXECUTE format('CREATE TRIGGER keep_%1$s_insert AFTER INSERT ON pgbench_accounts
			REFERENCING NEW TABLE AS new_rows
			FOR EACH STATEMENT EXECUTE FUNCTION keep_%1$s()', subject);
		EXECUTE format('CREATE TRIGGER keep_%1$s_update AFTER UPDATE ON pgbench_accounts
			REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
			FOR EACH STATEMENT EXECUTE FUNCTION keep_%1$s()', subject);
		EXECUTE format('CREATE TRIGGER keep_%1$s_delete AFTER DELETE ON pgbench_accounts
			REFERENCING OLD TABLE AS old_rows
			FOR EACH STATEMENT EXECUTE FUNCTION keep_%1$s()', subject);
	END LOOP;
END;
$$;

CREATE PROCEDURE disable_triggers(subject text) LANGUAGE plpgsql AS $$
DECLARE
	operation text;
BEGIN
	FOREACH operation IN ARRAY ARRAY['insert', 'update', 'delete'] LOOP
		EXECUTE format('ALTER TABLE pgbench_accounts DISABLE TRIGGER keep_%s_%s', subject, operation);
	END LOOP;
END;
$$;

-- Fills the kept table and lets the triggers go on from there.
CREATE PROCEDURE enable_triggers(subject text) LANGUAGE plpgsql AS $$
DECLARE
	operation text;
BEGIN
	FOREACH operation IN ARRAY ARRAY['insert', 'update', 'delete'] LOOP
		EXECUTE format('ALTER TABLE pgbench_accounts ENABLE TRIGGER keep_%s_%s', subject, operation);
	END LOOP;
	TRUNCATE branch_kept, overall_kept;
	INSERT INTO branch_kept SELECT bid, count(*), sum(abalance) FROM pgbench_accounts GROUP BY bid;
	INSERT INTO overall_kept SELECT count(*), sum(abalance) FROM pgbench_accounts;
END;
$$;

CALL disable_triggers('branch');
CALL disable_triggers('overall');
