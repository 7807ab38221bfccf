/*-------------------------------------------------------------------------
 *
 * view_catalog.c
 *	  The rows of schema derive_state as structs.
 *
 * derive_state.view is written by SQL functions in their callers' transactions,
 * derive_state.progress and derive_state.frontier by the applier alone, so that
 * neither ever waits for a row lock of the other.  All access goes through SPI:
 * the tables are ordinary ones.  The applier's hot statement, the frontier's
 * update, is a kept plan.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/view_catalog.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/owner.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* What view_from_tuple reads. */
static const char view_columns[] =
	"SELECT v.view::pg_catalog.oid, v.id, v.definition::pg_catalog.oid,"
	" v.state_table::pg_catalog.oid, v.key, v.paused, v.refreshes,"
	" p.state, p.reason, p.frontier::pg_catalog.text, p.refreshes, v.xmin,"
	" p.frontier_lsn, v.part_of::pg_catalog.oid, v.query::pg_catalog.oid,"
	" (pg_catalog.date_part('epoch', w.refresh_every)"
	" OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8, v.key_given, v.source_key"
	" FROM derive_state.view v"
	" JOIN derive_state.view w"
	" ON w.view OPERATOR(pg_catalog.=) COALESCE(v.part_of, v.view)"
	" LEFT JOIN derive_state.progress p ON p.id OPERATOR(pg_catalog.=) v.id";

/* Says whether the extension is installed in this database. */
bool
derive_catalog_extension_exists(void)
{
	return OidIsValid(get_extension_oid(DERIVE_EXTENSION, true));
}

/* Runs a statement with parameters and checks its kind; the caller is connected. */
static void
execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
		bool read_only, int expected)
{
	int rc = SPI_execute_with_args(sql, nargs, types, values, nulls, read_only, 0);

	if (rc != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(rc), sql);
}

/*
 * Throws if the extension's objects in this database are not of the library's version.  In a
 * transaction, with a snapshot.
 */
void
derive_catalog_check_version(void)
{
	char *installed;

	SPI_connect();
	execute("SELECT extversion FROM pg_catalog.pg_extension"
			" WHERE extname OPERATOR(pg_catalog.=) '" DERIVE_EXTENSION "'",
			0, NULL, NULL, NULL, true, SPI_OK_SELECT);
	installed = SPI_processed > 0
					? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)
					: NULL;
	if (installed != NULL && strcmp(installed, DERIVE_VERSION) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension pg_derive is of version %s, the library of version %s: "
					"run ALTER EXTENSION pg_derive UPDATE",
					installed, DERIVE_VERSION)));
	SPI_finish();
}

/*
 * Says whether a table of the catalog, whose first column is a relation, has a row of it.
 * Needs no snapshot, because it is asked while relations are being dropped, perhaps the
 * catalog itself.
 */
static bool
has_row(const char *table, Oid relid)
{
	Oid catalog = get_relname_relid(table, get_namespace_oid(DERIVE_STATE_SCHEMA, true));
	Relation rel;
	SysScanDesc scan;
	ScanKeyData key;
	bool found;

	if (!OidIsValid(catalog) || !derive_catalog_extension_exists())
		return false;
	rel = table_open(catalog, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Says whether a relation is a derived view. */
bool
derive_catalog_has_view(Oid relid)
{
	return has_row("view", relid);
}

/* Says whether a relation is an outbox. */
bool
derive_catalog_has_outbox(Oid relid)
{
	return has_row("outbox", relid);
}

/* Returns a column as oid, InvalidOid for NULL. */
static Oid
get_oid(HeapTuple tuple, TupleDesc desc, int column)
{
	bool isnull;
	Datum d = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(d);
}

/* Returns a column as int64, 0 for NULL. */
static int64
get_int64(HeapTuple tuple, TupleDesc desc, int column)
{
	bool isnull;
	Datum d = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(d);
}

/* Returns an int2[] column as an int list. */
static List *
get_int2_list(HeapTuple tuple, TupleDesc desc, int column)
{
	bool isnull;
	Datum d = SPI_getbinval(tuple, desc, column, &isnull);
	ArrayType *array;
	List *result = NIL;

	if (isnull)
		return NIL;
	array = DatumGetArrayTypeP(d);
	for (int i = 0; i < ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)); i++)
		result = lappend_int(result, ((int16 *) ARR_DATA_PTR(array))[i]);
	return result;
}

/* Makes a struct out of a row of view_columns. */
static CatalogView *
view_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	CatalogView *v = palloc0(sizeof(CatalogView));
	bool isnull;

	v->view = get_oid(tuple, desc, 1);
	v->id = get_int64(tuple, desc, 2);
	v->definition = get_oid(tuple, desc, 3);
	v->state_table = get_oid(tuple, desc, 4);
	v->key = get_int2_list(tuple, desc, 5);
	v->paused = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
	v->refreshes = get_int64(tuple, desc, 7);
	v->state = SPI_getvalue(tuple, desc, 8);
	v->reason = SPI_getvalue(tuple, desc, 9);
	v->frontier = SPI_getvalue(tuple, desc, 10);
	v->refreshes_done = get_int64(tuple, desc, 11);
	v->xmin = DatumGetTransactionId(SPI_getbinval(tuple, desc, 12, &isnull));
	v->frontier_lsn = (XLogRecPtr) get_int64(tuple, desc, 13);
	v->part_of = get_oid(tuple, desc, 14);
	v->query = get_oid(tuple, desc, 15);
	v->refresh_every = get_int64(tuple, desc, 16);
	v->key_given = DatumGetBool(SPI_getbinval(tuple, desc, 17, &isnull));
	v->source_key = get_int2_list(tuple, desc, 18);
	return v;
}

/* Returns all views in order of their ids, in the caller's SPI context. */
List *
derive_catalog_read_views(void)
{
	List *result = NIL;

	execute(psprintf("%s ORDER BY v.id", view_columns), 0, NULL, NULL, NULL, true,
			SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
		result = lappend(result,
						 view_from_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc));
	return result;
}

/* Reads the frontier's row; returns false if there is none yet. */
bool
derive_catalog_read_frontier(CatalogFrontier *frontier)
{
	HeapTuple tuple;
	TupleDesc desc;
	bool isnull;

	execute(
		"SELECT frontier::pg_catalog.text, applied_lsn, restart_lsn, system_identifier,"
		" timeline, database, published_lsn FROM derive_state.frontier",
		0, NULL, NULL, NULL, true, SPI_OK_SELECT);
	if (SPI_processed == 0)
		return false;
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	frontier->frontier = SPI_getvalue(tuple, desc, 1);
	frontier->applied_lsn = DatumGetLSN(SPI_getbinval(tuple, desc, 2, &isnull));
	frontier->restart_lsn = DatumGetLSN(SPI_getbinval(tuple, desc, 3, &isnull));
	frontier->system_identifier = (uint64) get_int64(tuple, desc, 4);
	frontier->timeline = (TimeLineID) get_int64(tuple, desc, 5);
	frontier->database = DatumGetObjectId(SPI_getbinval(tuple, desc, 6, &isnull));
	frontier->published_lsn = DatumGetLSN(SPI_getbinval(tuple, desc, 7, &isnull));
	return true;
}

/* Writes the frontier's row, in the tick's transaction. */
void
derive_catalog_write_frontier(const CatalogFrontier *frontier)
{
	static SPIPlanPtr update = NULL;
	Oid types[7] = {TEXTOID, LSNOID, LSNOID, INT8OID, INT8OID, OIDOID, LSNOID};
	Datum values[7];

	values[0] = CStringGetTextDatum(frontier->frontier);
	values[1] = LSNGetDatum(frontier->applied_lsn);
	values[2] = LSNGetDatum(frontier->restart_lsn);
	values[3] = Int64GetDatum((int64) frontier->system_identifier);
	values[4] = Int64GetDatum((int64) frontier->timeline);
	values[5] = ObjectIdGetDatum(frontier->database);
	values[6] = LSNGetDatum(frontier->published_lsn);

	if (update == NULL)
	{
		update = SPI_prepare(
			"UPDATE derive_state.frontier SET frontier = $1::pg_catalog.pg_snapshot,"
			" applied_lsn = $2, restart_lsn = $3, system_identifier = $4,"
			" timeline = $5, database = $6, published_lsn = $7",
			7, types);
		if (update == NULL || SPI_keepplan(update) != 0)
			elog(ERROR, "could not prepare the update of the frontier");
	}
	if (SPI_execute_plan(update, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update the frontier");
	if (SPI_processed == 0)
		execute("INSERT INTO derive_state.frontier"
				" VALUES ($1::pg_catalog.pg_snapshot, $2, $3, $4, $5, $6, $7)",
				7, types, values, NULL, false, SPI_OK_INSERT);
}

/* Writes a view's progress, in the tick's transaction; frontier may be NULL. */
void
derive_catalog_write_progress(int64 id, const char *state, const char *reason,
							  const char *frontier, XLogRecPtr frontier_lsn,
							  int64 refreshes_done)
{
	Oid types[6] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, LSNOID, INT8OID};
	Datum values[6];
	char nulls[7] = "      ";

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(state);
	values[2] = CStringGetTextDatum(reason);
	values[3] = frontier ? CStringGetTextDatum(frontier) : (Datum) 0;
	values[4] = LSNGetDatum(frontier_lsn);
	values[5] = Int64GetDatum(refreshes_done);
	if (frontier == NULL)
		nulls[3] = nulls[4] = 'n';

	execute(
		"INSERT INTO derive_state.progress"
		" VALUES ($1, $2, $3, $4::pg_catalog.pg_snapshot, $5, $6)"
		" ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, reason = EXCLUDED.reason,"
		" frontier = EXCLUDED.frontier, frontier_lsn = EXCLUDED.frontier_lsn,"
		" refreshes = EXCLUDED.refreshes, since = CASE"
		" WHEN progress.state OPERATOR(pg_catalog.=) EXCLUDED.state THEN progress.since"
		" ELSE EXCLUDED.since END",
		6, types, values, nulls, false, SPI_OK_INSERT);
}

/* Deletes the progress of views that are gone. */
void
derive_catalog_delete_orphans(void)
{
	execute("DELETE FROM derive_state.progress p WHERE NOT EXISTS"
			" (SELECT 1 FROM derive_state.view v WHERE v.id OPERATOR(pg_catalog.=) p.id)",
			0, NULL, NULL, NULL, false, SPI_OK_DELETE);
}

/* Notes a difference that an audit found; the rows as JSON, either may be NULL. */
void
derive_catalog_insert_audit(int64 id, const char *kind, const char *expected,
							const char *actual)
{
	Oid types[4] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[4];
	char nulls[5] = "    ";

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(kind);
	values[2] = expected ? CStringGetTextDatum(expected) : (Datum) 0;
	values[3] = actual ? CStringGetTextDatum(actual) : (Datum) 0;
	if (expected == NULL)
		nulls[2] = 'n';
	if (actual == NULL)
		nulls[3] = 'n';
	execute("INSERT INTO derive_state.audit (id, kind, expected, actual)"
			" VALUES ($1, $2, $3::pg_catalog.jsonb, $4::pg_catalog.jsonb)",
			4, types, values, nulls, false, SPI_OK_INSERT);
}

/* Keeps the newest differences, and those of views that exist. */
void
derive_catalog_trim_audits(void)
{
	execute("DELETE FROM derive_state.audit a"
			" WHERE a.at OPERATOR(pg_catalog.<) (SELECT b.at FROM derive_state.audit b"
			" ORDER BY b.at DESC OFFSET 1000 LIMIT 1)"
			" OR NOT EXISTS (SELECT 1 FROM derive_state.view v"
			" WHERE v.id OPERATOR(pg_catalog.=) a.id)",
			0, NULL, NULL, NULL, false, SPI_OK_DELETE);
}

/* Notes that a view has been recomputed, so that what audits found is repaired. */
void
derive_catalog_set_repaired(int64 id)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(id)};

	execute("UPDATE derive_state.audit SET repaired = true"
			" WHERE id OPERATOR(pg_catalog.=) $1 AND NOT repaired",
			1, types, values, NULL, false, SPI_OK_UPDATE);
}

/*
 * Runs one statement as the bootstrap superuser, from a SQL function of whoever
 * may call it.  The caller's search_path and objects have no part in it.
 */
static void
execute_trusted(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
				int expected)
{
	OwnerScope scope;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	execute(sql, nargs, types, values, nulls, false, expected);
	derive_owner_leave(&scope);
}

/* Returns the rows that a condition on $1 selects, in CurrentMemoryContext. */
static List *
find_views(const char *condition, Oid view)
{
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(view)};
	MemoryContext caller = CurrentMemoryContext;
	List *result = NIL;

	SPI_connect();
	execute_trusted(psprintf("%s WHERE %s ORDER BY v.id", view_columns, condition), 1,
					types, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		CatalogView *row = view_from_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);

		if (row->state)
			row->state = pstrdup(row->state);
		if (row->reason)
			row->reason = pstrdup(row->reason);
		if (row->frontier)
			row->frontier = pstrdup(row->frontier);
		result = lappend(result, row);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return result;
}

/* Returns the view's row, or NULL, in CurrentMemoryContext; sees this command's snapshot. */
CatalogView *
derive_catalog_find_view(Oid view)
{
	List *rows = find_views("v.view OPERATOR(pg_catalog.=) $1", view);

	return rows == NIL ? NULL : linitial(rows);
}

/* Returns the rows of a view's stages, from the bottom up. */
List *
derive_catalog_find_stages(Oid view)
{
	return find_views("v.part_of OPERATOR(pg_catalog.=) $1", view);
}

/* Returns the next view's id. */
int64
derive_catalog_next_id(void)
{
	int64 id;

	SPI_connect();
	execute_trusted("SELECT pg_catalog.nextval('derive_state.view_id')", 0, NULL, NULL,
					NULL, SPI_OK_SELECT);
	id = get_int64(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SPI_finish();
	return id;
}

/* Returns a key as an int2[]. */
static Datum
key_datum(List *key)
{
	int nkeys = list_length(key);
	Datum *keys = palloc(sizeof(Datum) * Max(nkeys, 1));

	for (int i = 0; i < nkeys; i++)
		keys[i] = Int16GetDatum((int16) list_nth_int(key, i));
	return PointerGetDatum(
		construct_array(keys, nkeys, INT2OID, 2, true, TYPALIGN_SHORT));
}

/* Adds a view to the catalog. */
void
derive_catalog_insert_view(const CatalogNewView *row)
{
	Oid types[12] = {OIDOID,  INT8OID, OIDOID, OIDOID,		INT2ARRAYOID, TEXTOID,
					 BOOLOID, OIDOID,  OIDOID, INTERVALOID, BOOLOID,	  INT2ARRAYOID};
	Datum values[12];
	char nulls[13] = "            ";

	values[0] = ObjectIdGetDatum(row->view);
	values[1] = Int64GetDatum(row->id);
	values[2] = ObjectIdGetDatum(row->definition);
	values[3] = ObjectIdGetDatum(row->state_table);
	values[4] = key_datum(row->key);
	values[5] = CStringGetTextDatum(row->rule);
	values[6] = BoolGetDatum(row->paused);
	values[7] = ObjectIdGetDatum(row->part_of);
	values[8] = ObjectIdGetDatum(row->query);
	values[9] = IntervalPGetDatum(row->refresh_every);
	values[10] = BoolGetDatum(row->key_given);
	values[11] = key_datum(row->source_key);
	if (row->refresh_every == NULL)
		nulls[9] = 'n';
	if (!OidIsValid(row->state_table))
		nulls[3] = 'n';
	if (row->key == NIL)
		nulls[4] = 'n';
	if (!OidIsValid(row->part_of))
		nulls[7] = 'n';
	if (row->source_key == NIL)
		nulls[11] = 'n';

	SPI_connect();
	execute_trusted(
		"INSERT INTO derive_state.view"
		" (view, id, definition, state_table, key, rule, paused, part_of, query,"
		" refresh_every, key_given, source_key)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		12, types, values, nulls, SPI_OK_INSERT);
	SPI_finish();
}

/* Runs a statement with the view's oid as its only parameter. */
static void
execute_for_view(const char *sql, Oid view, int expected)
{
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(view)};

	SPI_connect();
	execute_trusted(sql, 1, types, values, NULL, expected);
	SPI_finish();
}

/* Deletes a view's row, if there is one. */
void
derive_catalog_delete_view(Oid view)
{
	execute_for_view("DELETE FROM derive_state.view WHERE view OPERATOR(pg_catalog.=) $1",
					 view, SPI_OK_DELETE);
}

/* Pauses a view with its stages, or lets them go on, which implies a refresh. */
void
derive_catalog_set_paused(Oid view, bool paused)
{
	execute_for_view(paused
						 ? "UPDATE derive_state.view SET paused = true"
						   " WHERE $1 OPERATOR(pg_catalog.=) ANY (ARRAY[view, part_of])"
						 : "UPDATE derive_state.view SET paused = false,"
						   " refreshes = refreshes OPERATOR(pg_catalog.+) 1"
						   " WHERE $1 OPERATOR(pg_catalog.=) ANY (ARRAY[view, part_of])",
					 view, SPI_OK_UPDATE);
}

/* Asks for a refresh of a view and its stages. */
void
derive_catalog_ask_refresh(Oid view)
{
	execute_for_view(
		"UPDATE derive_state.view SET refreshes = refreshes OPERATOR(pg_catalog.+) 1"
		" WHERE $1 OPERATOR(pg_catalog.=) ANY (ARRAY[view, part_of])",
		view, SPI_OK_UPDATE);
}

/* Replaces how a view is maintained, see view_catalog.h. */
void
derive_catalog_redefine_view(const CatalogNewView *row)
{
	Oid types[7] = {OIDOID, INT8OID, OIDOID, OIDOID, INT2ARRAYOID, TEXTOID, INT2ARRAYOID};
	Datum values[7];
	char nulls[8] = "       ";

	values[0] = ObjectIdGetDatum(row->view);
	values[1] = Int64GetDatum(row->id);
	values[2] = ObjectIdGetDatum(row->definition);
	values[3] = ObjectIdGetDatum(row->state_table);
	values[4] = key_datum(row->key);
	values[5] = CStringGetTextDatum(row->rule);
	values[6] = key_datum(row->source_key);
	if (!OidIsValid(row->state_table))
		nulls[3] = 'n';
	if (row->key == NIL)
		nulls[4] = 'n';
	if (row->source_key == NIL)
		nulls[6] = 'n';

	SPI_connect();
	execute_trusted("UPDATE derive_state.view SET id = $2, definition = $3,"
					" state_table = $4, key = $5, rule = $6, source_key = $7"
					" WHERE view OPERATOR(pg_catalog.=) $1",
					7, types, values, nulls, SPI_OK_UPDATE);
	SPI_finish();
}

/* Returns the derived views that read a relation, see view_catalog.h. */
List *
derive_catalog_readers(Oid relid, bool derived)
{
	Oid types[2] = {OIDOID, BOOLOID};
	Datum values[2] = {ObjectIdGetDatum(relid), BoolGetDatum(derived)};
	MemoryContext caller = CurrentMemoryContext;
	List *result = NIL;
	OwnerScope scope;

	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	execute(
		"WITH RECURSIVE up(relid) AS (SELECT $1 UNION"
		" SELECT n.relid FROM up, LATERAL (SELECT r.ev_class FROM pg_catalog.pg_depend d"
		"   JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid"
		"   WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass"
		"   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass"
		"   AND d.refobjid = up.relid"
		"   UNION ALL SELECT v.view FROM derive_state.view v"
		"   WHERE $2 AND v.part_of IS NULL AND v.query = up.relid) n(relid))"
		" SELECT v.view::pg_catalog.oid FROM derive_state.view v, up"
		" WHERE v.part_of IS NULL AND v.query = up.relid ORDER BY v.id",
		2, types, values, NULL, true, SPI_OK_SELECT);
	derive_owner_leave(&scope);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		result = lappend_oid(result,
							 get_oid(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	PopActiveSnapshot();
	return result;
}

/* Gives a view and its stages new ids, see view_catalog.h. */
void
derive_catalog_move_to_end(Oid view)
{
	execute_for_view(
		"UPDATE derive_state.view v SET id = n.id FROM"
		" (SELECT o.view, pg_catalog.nextval('derive_state.view_id') AS id FROM"
		" (SELECT w.view FROM derive_state.view w"
		" WHERE $1 OPERATOR(pg_catalog.=) ANY (ARRAY[w.view, w.part_of])"
		" ORDER BY w.id OFFSET 0) o) n"
		" WHERE v.view OPERATOR(pg_catalog.=) n.view",
		view, SPI_OK_UPDATE);
}

Query *
derive_catalog_read_query(Oid relid, LOCKMODE lock)
{
	Relation rel = relation_open(relid, lock);
	Query *query = copyObject(get_view_query(rel));

	relation_close(rel, NoLock);
	return query;
}
