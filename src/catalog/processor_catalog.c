/*-------------------------------------------------------------------------
 *
 * processor_catalog.c
 *	  The rows of derive_state.processor as structs.
 *
 * Written by SQL functions in their callers' transactions, read by the worker that runs
 * handlers.  All statements run as the bootstrap superuser, who alone may.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/processor_catalog.h"

#include "base/owner.h"
#include "catalog/outbox_catalog.h"
#include "catalog/pg_authid.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "catalog/view_catalog.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

static const char processor_columns[] =
	"SELECT r.outbox, r.processor, o.outbox::pg_catalog.oid, o.source::pg_catalog.oid,"
	" pg_catalog.to_regprocedure(r.handler)::pg_catalog.oid, t.relowner, o.path, r.paused,"
	" f.outbox IS NOT NULL"
	" FROM derive_state.processor r"
	" JOIN derive_state.outbox o ON o.id OPERATOR(pg_catalog.=) r.outbox"
	" JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) o.outbox::pg_catalog.oid"
	" LEFT JOIN derive_state.processor_failure f ON f.outbox OPERATOR(pg_catalog.=) r.outbox";

/* Runs a statement of an id and a text or NULL; the caller is connected and finishes. */
static void
run(const char *sql, int64 id, const char *name, int expected)
{
	Oid types[2] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(id), (Datum) 0};
	OwnerScope scope;
	int rc;

	if (name != NULL)
		values[1] = CStringGetTextDatum(name);
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	rc = SPI_execute_with_args(sql, 2, types, values, name != NULL ? NULL : " n", false,
							   0);
	derive_owner_leave(&scope);
	if (rc != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(rc), sql);
}

/* Returns column n of row i of the last result, 0 for NULL. */
static Datum
column(uint64 i, int n)
{
	bool isnull;

	return SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, n, &isnull);
}

/* Returns the processors that a condition on $2 selects, in the caller's context. */
static List *
read_rows(const char *condition, const char *name)
{
	MemoryContext caller = CurrentMemoryContext;
	List *result = NIL;

	SPI_connect();
	run(psprintf("%s WHERE ($1 IS NOT NULL) AND %s ORDER BY r.outbox", processor_columns,
				 condition),
		0, name, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		CatalogProcessor *p = palloc0(sizeof(CatalogProcessor));

		p->id = DatumGetInt64(column(i, 1));
		p->name = TextDatumGetCString(column(i, 2));
		p->outbox = DatumGetObjectId(column(i, 3));
		p->source = DatumGetObjectId(column(i, 4));
		p->handler = DatumGetObjectId(column(i, 5));
		p->owner = DatumGetObjectId(column(i, 6));
		p->path = TextDatumGetCString(column(i, 7));
		p->paused = DatumGetBool(column(i, 8));
		p->failed = DatumGetBool(column(i, 9));
		result = lappend(result, p);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return result;
}

List *
derive_catalog_read_processors(void)
{
	return read_rows(
		"$2 IS NULL AND NOT r.paused AND EXISTS (SELECT FROM pg_catalog.pg_trigger g"
		" WHERE g.tgrelid OPERATOR(pg_catalog.=) o.outbox AND"
		" g.tgname OPERATOR(pg_catalog.=) '" DERIVE_APPEND_ONLY_TRIGGER "')",
		NULL);
}

CatalogProcessor *
derive_catalog_find_processor(const char *name)
{
	List *rows = read_rows("r.processor OPERATOR(pg_catalog.=) $2", name);

	return rows == NIL ? NULL : linitial(rows);
}

Oid
derive_catalog_find_handler(int64 outbox)
{
	Oid result = InvalidOid;

	SPI_connect();
	run("SELECT pg_catalog.to_regprocedure(handler)::pg_catalog.oid"
		" FROM derive_state.processor"
		" WHERE outbox OPERATOR(pg_catalog.=) $1 AND $2 IS NULL",
		outbox, NULL, SPI_OK_SELECT);
	if (SPI_processed > 0)
		result = DatumGetObjectId(column(0, 1));
	SPI_finish();
	return result;
}

void
derive_catalog_insert_processor(int64 id, const char *name, Oid handler)
{
	SPI_connect();
	run(psprintf("INSERT INTO derive_state.processor (outbox, processor, handler)"
				 " VALUES ($1, $2, %u::pg_catalog.regprocedure::pg_catalog.text)"
				 " ON CONFLICT (processor) DO NOTHING",
				 handler),
		id, name, SPI_OK_INSERT);
	if (SPI_processed != 1)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("there is a processor \"%s\" already", name)));
	SPI_finish();
}

void
derive_catalog_name_handlers(void)
{
	Oid schema = get_namespace_oid(DERIVE_STATE_SCHEMA, true);

	if (!OidIsValid(schema) || !OidIsValid(get_relname_relid("processor", schema)))
		return;
	SPI_connect();
	run("UPDATE derive_state.processor r"
		" SET handler = d.refobjid::pg_catalog.regprocedure::pg_catalog.text"
		" FROM derive_state.outbox o JOIN pg_catalog.pg_depend d"
		" ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
		" AND d.objid OPERATOR(pg_catalog.=) o.outbox::pg_catalog.oid"
		" AND d.refclassid OPERATOR(pg_catalog.=)"
		" 'pg_catalog.pg_proc'::pg_catalog.regclass"
		" WHERE o.id OPERATOR(pg_catalog.=) r.outbox"
		" AND r.handler OPERATOR(pg_catalog.<>)"
		" d.refobjid::pg_catalog.regprocedure::pg_catalog.text"
		" AND ($1 IS NOT NULL) AND $2 IS NULL",
		0, NULL, SPI_OK_UPDATE);
	SPI_finish();
}

void
derive_catalog_pause_processor(int64 id, bool paused)
{
	SPI_connect();
	run("UPDATE derive_state.processor SET paused = $2::pg_catalog.bool"
		" WHERE outbox OPERATOR(pg_catalog.=) $1",
		id, paused ? "true" : "false", SPI_OK_UPDATE);
	SPI_finish();
}

void
derive_catalog_processor_failed(const CatalogProcessor *processor, int failures, int64 ms,
								const char *reason)
{
	SPI_connect();
	run(psprintf(
			"INSERT INTO derive_state.processor_failure (outbox, failures, retry_at, reason)"
			" SELECT r.outbox, %d, pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)"
			" pg_catalog.make_interval(secs => " INT64_FORMAT " / 1000.0), $2"
			" FROM derive_state.processor r WHERE r.outbox OPERATOR(pg_catalog.=) $1"
			" ON CONFLICT (outbox) DO UPDATE SET failures = EXCLUDED.failures,"
			" retry_at = EXCLUDED.retry_at, reason = EXCLUDED.reason",
			failures, ms),
		processor->id, reason, SPI_OK_INSERT);
	SPI_finish();
}

void
derive_catalog_processor_mended(const CatalogProcessor *processor)
{
	SPI_connect();
	run("DELETE FROM derive_state.processor_failure"
		" WHERE outbox OPERATOR(pg_catalog.=) $1 AND $2 IS NULL",
		processor->id, NULL, SPI_OK_DELETE);
	SPI_finish();
}

void
derive_catalog_seize_consumer(const CatalogProcessor *processor)
{
	SPI_connect();
	run("UPDATE derive_state.consumer SET holder = NULL, lease_until = NULL"
		" WHERE outbox OPERATOR(pg_catalog.=) $1 AND consumer OPERATOR(pg_catalog.=) $2"
		" AND holder IS NOT NULL",
		processor->id, processor->name, SPI_OK_UPDATE);
	SPI_finish();
}

int64 *
derive_catalog_waiting_events(const CatalogProcessor *processor, int *n)
{
	MemoryContext caller = CurrentMemoryContext;
	int64 *positions;

	SPI_connect();
	run("SELECT position FROM derive_state.deferred"
		" WHERE outbox OPERATOR(pg_catalog.=) $1 AND consumer OPERATOR(pg_catalog.=) $2"
		" AND delivered IS NULL AND parked_at IS NULL ORDER BY position",
		processor->id, processor->name, SPI_OK_SELECT);
	*n = SPI_processed;
	positions = MemoryContextAlloc(caller, sizeof(int64) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		positions[i] = DatumGetInt64(column(i, 1));
	SPI_finish();
	return positions;
}

TimestampTz
derive_catalog_next_retry(const CatalogProcessor *processor)
{
	TimestampTz result = 0;
	Datum value;
	bool isnull;

	SPI_connect();
	run("SELECT derive_state.next_due($1, $2)", processor->id, processor->name,
		SPI_OK_SELECT);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		result = DatumGetTimestampTz(value);
	SPI_finish();
	return result;
}

int64
derive_catalog_oldest_needed(int64 outbox)
{
	int64 result = PG_INT64_MAX;

	SPI_connect();
	run("SELECT LEAST(c.position OPERATOR(pg_catalog.+) 1, (SELECT pg_catalog.min(d.position)"
		" FROM derive_state.deferred d WHERE d.outbox OPERATOR(pg_catalog.=) c.outbox"
		" AND d.consumer OPERATOR(pg_catalog.=) c.consumer))"
		" FROM derive_state.processor r JOIN derive_state.consumer c"
		" ON c.outbox OPERATOR(pg_catalog.=) r.outbox"
		" AND c.consumer OPERATOR(pg_catalog.=) r.processor"
		" WHERE r.outbox OPERATOR(pg_catalog.=) $1 AND $2 IS NULL",
		outbox, NULL, SPI_OK_SELECT);
	if (SPI_processed > 0)
		result = DatumGetInt64(column(0, 1));
	SPI_finish();
	return result;
}
