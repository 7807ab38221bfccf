/*-------------------------------------------------------------------------
 *
 * outbox_catalog.c
 *	  The rows of derive_state.outbox as structs.
 *
 * Written by SQL functions in their callers' transactions.  How far an outbox is stands in
 * derive_state.outbox_position, which the applier alone writes, so that neither waits
 * for a row lock of the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "base/owner.h"
#include "catalog/outbox_catalog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

static const char outbox_columns[] =
	"SELECT o.outbox::pg_catalog.oid, o.id, o.source::pg_catalog.oid, o.of_view, o.topic,"
	" o.key, o.payload, o.filter, o.path,"
	" (EXTRACT(epoch FROM o.retain) OPERATOR(pg_catalog.*) 1000000)::bigint, o.created_xid,"
	" p.position, p.first, p.published, p.home, p.gap, p.failures, p.retry_at, p.reason"
	" FROM derive_state.outbox o"
	" JOIN derive_state.outbox_position p ON p.id OPERATOR(pg_catalog.=) o.id";

char *
derive_catalog_home(void)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId);
}

/* Returns a copy of a text column, or NULL. */
static char *
copy_text(HeapTuple tuple, TupleDesc desc, int column, MemoryContext context)
{
	char *value = SPI_getvalue(tuple, desc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

/* Reads the columns of outbox_columns that are progress, from the twelfth on. */
static void
progress_from_tuple(CatalogOutbox *o, HeapTuple tuple, TupleDesc desc,
					MemoryContext context)
{
	bool isnull;

	o->position = DatumGetInt64(SPI_getbinval(tuple, desc, 12, &isnull));
	o->first = DatumGetInt64(SPI_getbinval(tuple, desc, 13, &isnull));
	o->published = DatumGetLSN(SPI_getbinval(tuple, desc, 14, &isnull));
	if (isnull)
		o->published = InvalidXLogRecPtr;
	o->ours = strcmp(SPI_getvalue(tuple, desc, 15), derive_catalog_home()) == 0;
	o->gap = DatumGetBool(SPI_getbinval(tuple, desc, 16, &isnull));
	o->failures = DatumGetInt32(SPI_getbinval(tuple, desc, 17, &isnull));
	o->retry_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 18, &isnull));
	if (isnull)
		o->retry_at = 0;
	o->reason = copy_text(tuple, desc, 19, context);
}

/* Makes a struct out of a row of outbox_columns. */
static CatalogOutbox *
outbox_from_tuple(HeapTuple tuple, TupleDesc desc, MemoryContext context)
{
	CatalogOutbox *o = MemoryContextAllocZero(context, sizeof(CatalogOutbox));
	bool isnull;

	o->outbox = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
	o->id = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
	o->source = DatumGetObjectId(SPI_getbinval(tuple, desc, 3, &isnull));
	if (isnull)
		o->source = InvalidOid;
	o->of_view = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
	o->topic = copy_text(tuple, desc, 5, context);
	o->key = copy_text(tuple, desc, 6, context);
	o->payload = copy_text(tuple, desc, 7, context);
	o->filter = copy_text(tuple, desc, 8, context);
	o->path = copy_text(tuple, desc, 9, context);
	o->retain = DatumGetInt64(SPI_getbinval(tuple, desc, 10, &isnull));
	o->created_xid = (uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 11, &isnull));
	progress_from_tuple(o, tuple, desc, context);
	return o;
}

/* Runs a statement and checks its kind; the caller is connected. */
static void
execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
		int expected)
{
	int rc = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (rc != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(rc), sql);
}

/* Returns the rows of a query over outbox_columns; the caller is connected. */
static List *
read_rows(const char *condition, Oid outbox, MemoryContext context)
{
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(outbox)};
	List *result = NIL;
	MemoryContext old;

	execute(psprintf("%s %s ORDER BY o.id", outbox_columns, condition), 1, types, values,
			NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		old = MemoryContextSwitchTo(context);
		result = lappend(result, outbox_from_tuple(SPI_tuptable->vals[i],
												   SPI_tuptable->tupdesc, context));
		MemoryContextSwitchTo(old);
	}
	return result;
}

List *
derive_catalog_read_outboxes(void)
{
	return read_rows(
		"WHERE $1 IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_trigger t"
		" WHERE t.tgrelid OPERATOR(pg_catalog.=) o.outbox AND"
		" t.tgname OPERATOR(pg_catalog.=) '" DERIVE_APPEND_ONLY_TRIGGER "')",
		InvalidOid, CurrentMemoryContext);
}

/* Returns rows for a SQL function, whose caller need not be allowed to read them. */
static List *
find_rows(const char *condition, Oid outbox)
{
	MemoryContext caller = CurrentMemoryContext;
	OwnerScope scope;
	List *rows;

	SPI_connect();
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	rows = read_rows(condition, outbox, caller);
	derive_owner_leave(&scope);
	SPI_finish();
	return rows;
}

CatalogOutbox *
derive_catalog_find_outbox(Oid outbox)
{
	List *rows = find_rows("WHERE o.outbox OPERATOR(pg_catalog.=) $1", outbox);

	return rows == NIL ? NULL : linitial(rows);
}

bool
derive_catalog_is_published(Oid source)
{
	return find_rows("WHERE o.source OPERATOR(pg_catalog.=) $1", source) != NIL;
}

CatalogOutbox *
derive_catalog_default_outbox(void)
{
	List *rows = find_rows("WHERE o.source IS NULL AND $1 IS NOT NULL", InvalidOid);

	return list_length(rows) == 1 ? linitial(rows) : NULL;
}

/* Runs one statement as the bootstrap superuser. */
static void
execute_trusted(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
				int expected)
{
	OwnerScope scope;

	SPI_connect();
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	execute(sql, nargs, types, values, nulls, expected);
	derive_owner_leave(&scope);
}

int64
derive_catalog_next_outbox_id(void)
{
	bool isnull;
	int64 id;

	execute_trusted("SELECT pg_catalog.nextval('derive_state.outbox_id')", 0, NULL, NULL,
					NULL, SPI_OK_SELECT);
	id = DatumGetInt64(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return id;
}

/* Inserts the row that the applier will write. */
static void
insert_progress(const CatalogOutbox *row)
{
	Oid types[] = {INT8OID, LSNOID, TEXTOID};
	Datum values[] = {Int64GetDatum(row->id), LSNGetDatum(row->published),
					  CStringGetTextDatum(derive_catalog_home())};

	execute_trusted("INSERT INTO derive_state.outbox_position (id, published, home)"
					" VALUES ($1, $2, $3)",
					3, types, values, NULL, SPI_OK_INSERT);
	SPI_finish();
}

void
derive_catalog_insert_outbox(const CatalogOutbox *row, Datum retain)
{
	Oid types[] = {OIDOID,	INT8OID, OIDOID,  BOOLOID, TEXTOID,	   TEXTOID,
				   TEXTOID, TEXTOID, TEXTOID, INT8OID, INTERVALOID};
	const char *texts[] = {row->topic, row->key, row->payload, row->filter, row->path};
	Datum values[11];
	char nulls[12] = "           ";

	values[0] = ObjectIdGetDatum(row->outbox);
	values[1] = Int64GetDatum(row->id);
	values[2] = ObjectIdGetDatum(row->source);
	values[3] = BoolGetDatum(row->of_view);
	for (int i = 0; i < 5; i++)
	{
		values[4 + i] = texts[i] != NULL ? CStringGetTextDatum(texts[i]) : (Datum) 0;
		if (texts[i] == NULL)
			nulls[4 + i] = 'n';
	}
	values[9] = Int64GetDatum((int64) row->created_xid);
	values[10] = retain;
	if (!OidIsValid(row->source))
		nulls[2] = 'n';
	execute_trusted(
		"INSERT INTO derive_state.outbox (outbox, id, source, of_view, topic, key,"
		" payload, filter, path, created_xid, retain)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
		11, types, values, nulls, SPI_OK_INSERT);
	SPI_finish();
	insert_progress(row);
}

void
derive_catalog_write_outbox(const CatalogOutbox *row)
{
	static SPIPlanPtr update = NULL;
	Oid types[] = {INT8OID, INT8OID, INT8OID,		 LSNOID, TEXTOID,
				   BOOLOID, INT4OID, TIMESTAMPTZOID, TEXTOID};
	Datum values[9];
	char nulls[10] = "         ";

	values[0] = Int64GetDatum(row->id);
	values[1] = Int64GetDatum(row->position);
	values[2] = Int64GetDatum(row->first);
	values[3] = LSNGetDatum(row->published);
	values[4] = CStringGetTextDatum(derive_catalog_home());
	values[5] = BoolGetDatum(row->gap);
	values[6] = Int32GetDatum(row->failures);
	values[7] = TimestampTzGetDatum(row->retry_at);
	values[8] = row->reason != NULL ? CStringGetTextDatum(row->reason) : (Datum) 0;
	nulls[3] = XLogRecPtrIsInvalid(row->published) ? 'n' : ' ';
	nulls[7] = row->retry_at == 0 ? 'n' : ' ';
	nulls[8] = row->reason == NULL ? 'n' : ' ';
	if (update == NULL)
	{
		update = SPI_prepare(
			"UPDATE derive_state.outbox_position SET position = $2, first = $3,"
			" published = $4, home = $5, gap = $6, failures = $7, retry_at = $8, reason = $9"
			" WHERE id OPERATOR(pg_catalog.=) $1",
			lengthof(types), types);
		if (update == NULL || SPI_keepplan(update) != 0)
			elog(ERROR, "could not prepare the update of an outbox's position");
	}
	if (SPI_execute_plan(update, values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update an outbox's position");
}

void
derive_catalog_delete_outbox(Oid outbox)
{
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(outbox)};

	execute_trusted(
		"DELETE FROM derive_state.outbox WHERE outbox OPERATOR(pg_catalog.=) $1", 1,
		types, values, NULL, SPI_OK_DELETE);
	SPI_finish();
}

void
derive_catalog_delete_positions(void)
{
	execute("DELETE FROM derive_state.outbox_position p WHERE NOT EXISTS (SELECT FROM"
			" derive_state.outbox o WHERE o.id OPERATOR(pg_catalog.=) p.id)",
			0, NULL, NULL, NULL, SPI_OK_DELETE);
}

uint8 *
derive_catalog_secret(void)
{
	uint8 *secret = palloc(DERIVE_SECRET_LEN);
	bytea *value;
	bool isnull;

	execute_trusted("SELECT key FROM derive_state.secret", 0, NULL, NULL, NULL,
					SPI_OK_SELECT);
	if (SPI_processed != 1)
		elog(ERROR, "derive_state.secret has no row");
	value = DatumGetByteaPP(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (VARSIZE_ANY_EXHDR(value) != DERIVE_SECRET_LEN)
		elog(ERROR, "derive_state.secret has another length");
	memcpy(secret, VARDATA_ANY(value), DERIVE_SECRET_LEN);
	SPI_finish();
	return secret;
}
