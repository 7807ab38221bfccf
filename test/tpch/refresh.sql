-- refresh.sql: the refresh streams as functions, one transaction each.
--
--   SELECT tpch.rf1(n);    RF1: new orders with their line items, 0.1 % of the orders
--   SELECT tpch.rf2(n);    RF2: as many old orders and their line items deleted
--   SELECT tpch.rf3(n);    not in the specification: prices, quantities, customers updated
--
-- n = 1, 2, .. counts the calls of each; a number may be used once.  The second argument is the
-- number of orders, by default the specification's SF * 1500; keep it the same from call to call.

SET search_path = tpch;

CREATE FUNCTION refresh_orders() RETURNS bigint IMMUTABLE RETURN greatest(1, base_orders() / 1000);

-- Between the tables' own keys, see order_key().
CREATE FUNCTION rf1(batch bigint, size bigint DEFAULT tpch.refresh_orders()) RETURNS void
BEGIN ATOMIC
	INSERT INTO orders SELECT * FROM make_orders((batch - 1) * size + 1, batch * size, 1);
	INSERT INTO lineitem SELECT * FROM make_lineitem((batch - 1) * size + 1, batch * size, 1);
END;

CREATE FUNCTION rf2(batch bigint, size bigint DEFAULT tpch.refresh_orders()) RETURNS void
BEGIN ATOMIC
	DELETE FROM lineitem USING generate_series((batch - 1) * size + 1, batch * size) i
		WHERE l_orderkey = order_key(i, 0);
	DELETE FROM orders USING generate_series((batch - 1) * size + 1, batch * size) i
		WHERE o_orderkey = order_key(i, 0);
END;

-- Deliveries that change, and prices, stocks, balances, segments and nations; 0.1 % of the orders
-- and about as many rows of the other tables.
CREATE FUNCTION rf3(batch bigint, size bigint DEFAULT tpch.refresh_orders()) RETURNS void
BEGIN ATOMIC
	UPDATE lineitem
		SET l_quantity = l_quantity % 50 + 1,
			l_extendedprice = round(l_extendedprice / l_quantity * (l_quantity % 50 + 1), 2),
			l_receiptdate = l_receiptdate + 7,
			l_shipmode = CASE l_shipmode WHEN 'MAIL' THEN 'SHIP' WHEN 'SHIP' THEN 'AIR' ELSE 'MAIL' END
		FROM generate_series(1, size) i
		WHERE l_orderkey = order_key(rnd(batch * 1000000 + i, 200, 1, base_orders()), 0)
			AND l_linenumber % 2 = 1;
	UPDATE orders
		SET o_totalprice = o_totalprice + 100,
			o_orderpriority = CASE o_orderpriority WHEN '1-URGENT' THEN '5-LOW' ELSE '1-URGENT' END,
			o_comment = left('special requests ' || o_comment, 79)
		FROM generate_series(1, size / 2) i
		WHERE o_orderkey = order_key(rnd(batch * 1000000 + i, 201, 1, base_orders()), 0);
	UPDATE customer
		SET c_acctbal = c_acctbal + 500 - rnd(c_custkey, batch, 0, 1000),
			c_mktsegment = CASE c_mktsegment WHEN 'BUILDING' THEN 'MACHINERY' ELSE 'BUILDING' END,
			c_nationkey = (c_nationkey + 1) % 25,
			c_phone = phone((c_nationkey + 1) % 25, c_custkey, batch)
		FROM generate_series(1, 1 + size / 10) i
		WHERE c_custkey = rnd(batch * 1000000 + i, 202, 1, customers());
	UPDATE partsupp
		SET ps_supplycost = round(ps_supplycost * 0.9, 2), ps_availqty = ps_availqty % 9999 + 1
		FROM generate_series(1, 1 + size / 8) i
		WHERE ps_partkey = rnd(batch * 1000000 + i, 203, 1, parts());
	UPDATE part
		SET p_retailprice = p_retailprice + 1, p_size = p_size % 50 + 1
		FROM generate_series(1, 1 + size / 8) i
		WHERE p_partkey = rnd(batch * 1000000 + i, 204, 1, parts());
	UPDATE supplier
		SET s_acctbal = s_acctbal - 10,
			s_nationkey = (s_nationkey + 1) % 25
		FROM generate_series(1, 1 + size / 1000) i
		WHERE s_suppkey = rnd(batch * 1000000 + i, 205, 1, suppliers());
END;
