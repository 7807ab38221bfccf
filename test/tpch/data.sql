-- data.sql: fills the tables by generator.sql's functions.  Indexes other than the keys are the
-- reader's business.

SET search_path = tpch;

INSERT INTO region
	SELECT i, (ARRAY['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'])[i + 1],
		comment(:pool, i, 2, 31, 115)
	FROM generate_series(0, 4) i;

INSERT INTO nation
	SELECT i - 1, n[1], n[2]::integer, comment(:pool, i, 4, 31, 114)
	FROM string_to_table('ALGERIA/0,ARGENTINA/1,BRAZIL/1,CANADA/1,EGYPT/4,ETHIOPIA/0,FRANCE/3,GERMANY/3,'
			'INDIA/2,INDONESIA/2,IRAN/4,IRAQ/4,JAPAN/2,JORDAN/4,KENYA/0,MOROCCO/0,MOZAMBIQUE/0,PERU/1,'
			'CHINA/2,ROMANIA/3,SAUDI ARABIA/4,VIETNAM/2,RUSSIA/3,UNITED KINGDOM/3,UNITED STATES/1', ',')
			WITH ORDINALITY AS s(entry, i),
		string_to_array(entry, '/') n;

INSERT INTO supplier SELECT * FROM make_supplier(1, suppliers());
INSERT INTO part SELECT * FROM make_part(1, parts());
INSERT INTO partsupp SELECT * FROM make_partsupp(1, parts());
INSERT INTO customer SELECT * FROM make_customer(1, customers());

-- In pieces that fit into memory.
SELECT format('INSERT INTO %1$s SELECT * FROM make_%1$s(%2$s, %3$s, 0)', t, i,
		least(i + 49999, base_orders()))
	FROM generate_series(1, base_orders(), 50000) i, unnest(ARRAY['orders', 'lineitem']) t \gexec

VACUUM ANALYZE;
