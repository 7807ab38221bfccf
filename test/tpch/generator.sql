-- generator.sql: every row of TPC-H's tables as a function of its number.
--
-- Written from the rules of the specification's clause 4.2 (TPC Benchmark H, revision 3), with
-- hashes in place of its random numbers: a value is a function of the seed, the row's key and a
-- stream number, one per column.  So a range of rows can be made at any time, in any order, and the
-- refresh streams make theirs by the same functions.
--
-- psql variables: scale (1: a gigabyte, 6 million line items), seed.  They end up as constants in
-- the functions' bodies.  README.md says where the rows differ from dbgen's.

SET search_path = tpch;

-- A random integer between low and high, by key and stream.
CREATE FUNCTION rnd(key bigint, stream bigint, low bigint, high bigint) RETURNS bigint
	IMMUTABLE PARALLEL SAFE
	RETURN low + (hashint8extended(key, :seed * 1000 + stream) & 9223372036854775807) % (high - low + 1);

-- Numbers of rows.
CREATE FUNCTION suppliers() RETURNS bigint IMMUTABLE PARALLEL SAFE RETURN greatest(25, round(:scale * 10000))::bigint;
CREATE FUNCTION parts() RETURNS bigint IMMUTABLE PARALLEL SAFE RETURN greatest(200, round(:scale * 200000))::bigint;
CREATE FUNCTION customers() RETURNS bigint IMMUTABLE PARALLEL SAFE RETURN greatest(150, round(:scale * 150000))::bigint;
CREATE FUNCTION base_orders() RETURNS bigint IMMUTABLE PARALLEL SAFE RETURN greatest(1000, round(:scale * 1500000))::bigint;
CREATE FUNCTION clerks() RETURNS bigint IMMUTABLE PARALLEL SAFE RETURN greatest(10, round(:scale * 1000))::bigint;

-- ------------------------------------------------------------------ text

-- The words of the text grammar, frequent ones several times.
CREATE TABLE word (kind text, words text[]);
INSERT INTO word VALUES
	('noun', string_to_array('packages,packages,packages,requests,requests,requests,accounts,accounts,accounts,'
		'deposits,deposits,deposits,foxes,foxes,ideas,ideas,theodolites,theodolites,pinto beans,'
		'pinto beans,instructions,dependencies,excuses,platelets,asymptotes,courts,dolphins,'
		'multipliers,sauternes,warthogs,frets,dinos,attainments,somas,Tiresias,patterns,forges,'
		'braids,hockey players,frays,warhorses,dugouts,notornis,epitaphs,pearls,tithes,waters,'
		'orbits,gifts,sheaves,depths,sentiments,decoys,realms,pains,grouches,escapades', ',')),
	('verb', string_to_array('sleep,sleep,wake,wake,are,are,cajole,cajole,haggle,haggle,nag,nag,use,boost,affix,'
		'detect,integrate,maintain,nod,was,lose,sublate,solve,thrash,promise,engage,hinder,print,'
		'x-ray,breach,eat,grow,impress,mold,poach,serve,run,dazzle,snooze,doze,unwind,kindle,play,'
		'hang,believe,doubt', ',')),
	('adjective', string_to_array('special,special,pending,pending,unusual,unusual,express,express,furious,sly,'
		'careful,blithe,quick,fluffy,slow,quiet,ruthless,thin,close,dogged,daring,brave,stealthy,'
		'permanent,enticing,idle,busy,regular,regular,final,final,ironic,ironic,even,bold,silent', ',')),
	('adverb', string_to_array('sometimes,always,never,furiously,slyly,carefully,blithely,quickly,fluffily,'
		'slowly,quietly,ruthlessly,thinly,closely,doggedly,daringly,bravely,stealthily,permanently,'
		'enticingly,idly,busily,regularly,finally,ironically,evenly,boldly,silently', ',')),
	('preposition', string_to_array('about,above,according to,across,after,against,along,alongside of,among,'
		'around,at,atop,before,behind,beneath,beside,besides,between,beyond,by,despite,during,'
		'except,for,from,in place of,inside,instead of,into,near,of,on,outside,over,past,since,'
		'through,throughout,to,toward,under,until,up,upon,without,with,within', ',')),
	('auxiliary', string_to_array('do,may,might,shall,will,would,can,could,should,ought to,must,will have to,'
		'shall have to,could have to,should have to,must have to,need to,try to', ',')),
	('terminator', string_to_array('.,.,.,.,;,:,?,!,--', ','));

CREATE FUNCTION word(of_kind text, key bigint, stream bigint) RETURNS text
	RETURN (SELECT words[rnd(key, stream, 1, cardinality(words))] FROM word WHERE kind = of_kind);

CREATE FUNCTION noun_phrase(key bigint, stream bigint) RETURNS text
	RETURN CASE rnd(key, stream, 0, 3)
		WHEN 0 THEN word('noun', key, stream + 1)
		WHEN 1 THEN word('adjective', key, stream + 2) || ' ' || word('noun', key, stream + 1)
		WHEN 2 THEN word('adjective', key, stream + 2) || ', ' || word('adjective', key, stream + 3)
			|| ' ' || word('noun', key, stream + 1)
		ELSE word('adverb', key, stream + 4) || ' ' || word('adjective', key, stream + 2)
			|| ' ' || word('noun', key, stream + 1) END;

CREATE FUNCTION verb_phrase(key bigint, stream bigint) RETURNS text
	RETURN CASE rnd(key, stream, 0, 1) WHEN 0 THEN word('auxiliary', key, stream + 1) || ' ' ELSE '' END
		|| word('verb', key, stream + 2)
		|| CASE rnd(key, stream + 3, 0, 1) WHEN 0 THEN ' ' || word('adverb', key, stream + 4) ELSE '' END;

CREATE FUNCTION prepositional_phrase(key bigint, stream bigint) RETURNS text
	RETURN word('preposition', key, stream) || ' the ' || noun_phrase(key, stream + 1);

CREATE FUNCTION sentence(key bigint) RETURNS text
	RETURN CASE rnd(key, 100, 0, 4)
		WHEN 0 THEN noun_phrase(key, 110) || ' ' || verb_phrase(key, 120)
		WHEN 1 THEN noun_phrase(key, 110) || ' ' || verb_phrase(key, 120) || ' '
			|| prepositional_phrase(key, 130)
		WHEN 2 THEN noun_phrase(key, 110) || ' ' || verb_phrase(key, 120) || ' ' || noun_phrase(key, 140)
		WHEN 3 THEN noun_phrase(key, 110) || ' ' || prepositional_phrase(key, 130) || ' '
			|| verb_phrase(key, 120) || ' ' || noun_phrase(key, 140)
		ELSE noun_phrase(key, 110) || ' ' || prepositional_phrase(key, 130) || ' '
			|| verb_phrase(key, 120) || ' ' || prepositional_phrase(key, 140) END
		|| word('terminator', key, 150);

-- Half a megabyte of sentences; a comment is a piece of it.  As bytea, whose pieces can be had
-- without counting characters from the start.
CREATE TABLE text_pool (pool bytea);
INSERT INTO text_pool
	SELECT convert_to(left(string_agg(sentence(i), ' ' ORDER BY i), 524288), 'SQL_ASCII')
	FROM generate_series(1, 12000) i;

-- The pool in memory, for comment()'s first argument: a subquery that is evaluated once.
\set pool '(SELECT pool || '''' FROM tpch.text_pool)'

-- A piece of the text pool with between low and high characters.
CREATE FUNCTION comment(pool bytea, key bigint, stream bigint, low bigint, high bigint) RETURNS text
	RETURN convert_from(substr(pool, rnd(key, stream, 1, 524000)::integer, rnd(key, stream + 1, low, high)::integer),
		'SQL_ASCII');

CREATE FUNCTION address(key bigint, stream bigint) RETURNS text
	RETURN left(encode(sha256(int8send(rnd(key, stream, 0, 9000000000000000000))), 'base64'),
		rnd(key, stream + 1, 10, 40)::integer);

CREATE FUNCTION phone(nation bigint, key bigint, stream bigint) RETURNS text
	RETURN (nation + 10) || '-' || rnd(key, stream, 100, 999) || '-' || rnd(key, stream + 1, 100, 999)
		|| '-' || rnd(key, stream + 2, 1000, 9999);

CREATE FUNCTION numbered(prefix text, number bigint) RETURNS text
	RETURN prefix || lpad(number::text, 9, '0');

-- ------------------------------------------------------------------ parts and suppliers

-- The spec's random nation, but each block of 25 suppliers has all of them: small scales need it.
CREATE FUNCTION supplier_nation(suppkey bigint) RETURNS bigint
	RETURN ((suppkey - 1) % 25 * (ARRAY[1, 2, 3, 4, 6, 7, 8, 9, 11, 12])[rnd((suppkey - 1) / 25, 1, 1, 10)]
		+ rnd((suppkey - 1) / 25, 2, 0, 24)) % 25;

-- The suppliers of a part, number 0 to 3.  The spec's formula; the modulo keeps the four apart at
-- scales below 0.024.
CREATE FUNCTION part_supplier(partkey bigint, number bigint) RETURNS bigint
	RETURN (partkey + number * (suppliers() / 4 + (partkey - 1) / suppliers() % greatest(suppliers() / 12, 1)))
		% suppliers() + 1;

CREATE FUNCTION retail_price(partkey bigint) RETURNS numeric
	RETURN (90000 + partkey / 10 % 20001 + 100 * (partkey % 1000))::numeric(15,2) / 100;

CREATE FUNCTION make_supplier(first bigint, last bigint) RETURNS SETOF supplier STABLE
BEGIN ATOMIC
	SELECT i, numbered('Supplier#', i), address(i, 10), supplier_nation(i),
		phone(supplier_nation(i), i, 12), rnd(i, 15, -99999, 999999) / 100.0,
		CASE i % 2000
			WHEN 7 THEN overlay(comment(:pool, i, 16, 60, 100) PLACING 'Customer odd Complaints' FROM 9)
			WHEN 11 THEN overlay(comment(:pool, i, 16, 60, 100) PLACING 'Customer odd Recommends' FROM 9)
			ELSE comment(:pool, i, 16, 25, 100) END
	FROM generate_series(first, last) i;
END;

CREATE FUNCTION color(number bigint) RETURNS text IMMUTABLE
	RETURN ('{almond,antique,aquamarine,azure,beige,bisque,black,blanched,blue,blush,brown,burlywood,'
		'burnished,chartreuse,chiffon,chocolate,coral,cornflower,cornsilk,cream,cyan,dark,deep,dim,'
		'dodger,drab,firebrick,floral,forest,frosted,gainsboro,ghost,goldenrod,green,grey,honeydew,'
		'hot,indian,ivory,khaki,lace,lavender,lawn,lemon,light,lime,linen,magenta,maroon,medium,'
		'metallic,midnight,mint,misty,moccasin,navajo,navy,olive,orange,orchid,pale,papaya,peach,'
		'peru,pink,plum,powder,puff,purple,red,rose,rosy,royal,saddle,salmon,sandy,seashell,sienna,'
		'sky,slate,smoke,snow,spring,steel,tan,thistle,tomato,turquoise,violet,wheat,white,'
		'yellow}'::text[])[number % 92 + 1];

-- Five different colors: an odd step below 23 has no factor in common with 92.
CREATE FUNCTION part_name(start bigint, step bigint) RETURNS text
	RETURN color(start) || ' ' || color(start + step) || ' ' || color(start + 2 * step) || ' '
		|| color(start + 3 * step) || ' ' || color(start + 4 * step);

CREATE FUNCTION make_part(first bigint, last bigint) RETURNS SETOF part STABLE
BEGIN ATOMIC
	SELECT i, part_name(rnd(i, 20, 0, 91), rnd(i, 21, 0, 10) * 2 + 1),
		'Manufacturer#' || rnd(i, 22, 1, 5), 'Brand#' || rnd(i, 22, 1, 5) || rnd(i, 23, 1, 5),
		(ARRAY['STANDARD', 'SMALL', 'MEDIUM', 'LARGE', 'ECONOMY', 'PROMO'])[rnd(i, 24, 1, 6)] || ' '
			|| (ARRAY['ANODIZED', 'BURNISHED', 'PLATED', 'POLISHED', 'BRUSHED'])[rnd(i, 25, 1, 5)] || ' '
			|| (ARRAY['TIN', 'NICKEL', 'BRASS', 'STEEL', 'COPPER'])[rnd(i, 26, 1, 5)],
		rnd(i, 27, 1, 50),
		(ARRAY['SM', 'LG', 'MED', 'JUMBO', 'WRAP'])[rnd(i, 28, 1, 5)] || ' '
			|| (ARRAY['CASE', 'BOX', 'BAG', 'JAR', 'PKG', 'PACK', 'CAN', 'DRUM'])[rnd(i, 29, 1, 8)],
		retail_price(i), comment(:pool, i, 30, 5, 22)
	FROM generate_series(first, last) i;
END;

CREATE FUNCTION make_partsupp(first bigint, last bigint) RETURNS SETOF partsupp STABLE
BEGIN ATOMIC
	SELECT i, part_supplier(i, n), rnd(i * 4 + n, 40, 1, 9999), rnd(i * 4 + n, 41, 100, 100000) / 100.0,
		comment(:pool, i * 4 + n, 42, 49, 198)
	FROM generate_series(first, last) i, generate_series(0, 3) n;
END;

-- ------------------------------------------------------------------ customers and orders

CREATE FUNCTION make_customer(first bigint, last bigint) RETURNS SETOF customer STABLE
BEGIN ATOMIC
	SELECT i, numbered('Customer#', i), address(i, 50), rnd(i, 52, 0, 24), phone(rnd(i, 52, 0, 24), i, 53),
		rnd(i, 56, -99999, 999999) / 100.0,
		(ARRAY['AUTOMOBILE', 'BUILDING', 'FURNITURE', 'MACHINERY', 'HOUSEHOLD'])[rnd(i, 57, 1, 5)],
		comment(:pool, i, 58, 29, 116)
	FROM generate_series(first, last) i;
END;

-- The key of the order with a number: the first 8 of every 32 keys are the tables' (generation
-- 0), the next 8 those of the refresh streams (generation 1), the others stay free.
CREATE FUNCTION order_key(number bigint, generation bigint) RETURNS bigint IMMUTABLE
	RETURN ((number >> 3) << 5) | (generation << 3) | (number & 7);

CREATE FUNCTION order_date(orderkey bigint) RETURNS date
	RETURN date '1992-01-01' + rnd(orderkey, 60, 0, 2405)::integer;

-- A customer whose number is not divisible by three: a third of the customers has no orders.
CREATE FUNCTION order_customer(orderkey bigint) RETURNS bigint
	RETURN 1 + rnd(orderkey, 61, 0, customers() / 3 - 1) * 3 + rnd(orderkey, 62, 0, 1);

-- Every ten thousandth order is large, which Q18 looks for.
CREATE FUNCTION is_large(number bigint) RETURNS boolean IMMUTABLE
	RETURN number % 10000 = 7;

CREATE FUNCTION make_lineitem(first bigint, last bigint, generation bigint) RETURNS SETOF lineitem STABLE
BEGIN ATOMIC
	SELECT l.orderkey, l.partkey, part_supplier(l.partkey, rnd(l.id, 71, 0, 3)), l.line,
		l.quantity, l.quantity * retail_price(l.partkey),
		rnd(l.id, 73, 0, 10) / 100.0, rnd(l.id, 74, 0, 8) / 100.0,
		CASE WHEN l.receiptdate > date '1995-06-17' THEN 'N'
			ELSE (ARRAY['R', 'A'])[rnd(l.id, 75, 1, 2)] END,
		CASE WHEN l.shipdate > date '1995-06-17' THEN 'O' ELSE 'F' END,
		l.shipdate, l.orderdate + rnd(l.id, 76, 30, 90)::integer, l.receiptdate,
		(ARRAY['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[rnd(l.id, 77, 1, 4)],
		(ARRAY['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'])[rnd(l.id, 78, 1, 7)],
		comment(:pool, l.id, 79, 10, 43)
	FROM (SELECT s.*, s.shipdate + rnd(s.id, 81, 1, 30)::integer AS receiptdate
			FROM (SELECT o.orderkey, o.orderdate, line, o.orderkey * 8 + line AS id,
					rnd(o.orderkey * 8 + line, 82, 1, parts()) AS partkey,
					rnd(o.orderkey * 8 + line, 83, CASE WHEN o.is_large THEN 44 ELSE 1 END, 50) AS quantity,
					o.orderdate + rnd(o.orderkey * 8 + line, 84, 1, 121)::integer AS shipdate
				FROM (SELECT k.orderkey, order_date(k.orderkey) AS orderdate, k.is_large,
						CASE WHEN k.is_large THEN 7 ELSE rnd(k.orderkey, 63, 1, 7) END AS lines
					FROM (SELECT order_key(i, generation) AS orderkey, is_large(i) AS is_large
						FROM generate_series(first, last) i OFFSET 0) k OFFSET 0) o,
					generate_series(1, o.lines) line
				OFFSET 0) s
			OFFSET 0) l;
END;

-- Status and total follow from the order's line items.
CREATE FUNCTION make_orders(first bigint, last bigint, generation bigint) RETURNS SETOF orders STABLE
BEGIN ATOMIC
	SELECT l.l_orderkey, order_customer(l.l_orderkey),
		CASE WHEN bool_and(l.l_linestatus = 'F') THEN 'F' WHEN bool_and(l.l_linestatus = 'O') THEN 'O' ELSE 'P' END,
		sum(l.l_extendedprice * (1 + l.l_tax) * (1 - l.l_discount)), order_date(l.l_orderkey),
		(ARRAY['1-URGENT', '2-HIGH', '3-MEDIUM', '4-NOT SPECIFIED', '5-LOW'])[rnd(l.l_orderkey, 64, 1, 5)],
		numbered('Clerk#', rnd(l.l_orderkey, 65, 1, clerks())), 0,
		comment(:pool, l.l_orderkey, 66, 19, 78)
	FROM make_lineitem(first, last, generation) l
	GROUP BY l.l_orderkey;
END;
