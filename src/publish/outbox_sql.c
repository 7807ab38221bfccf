/*-------------------------------------------------------------------------
 *
 * outbox_sql.c
 *	  The statements by which outboxes are written.
 *
 * They run as the outbox's owner, who reads names by the search_path of the outbox's
 * creation; so all names that are not the user's are qualified.  A user's expression is
 * known to be exactly one (see create_outbox), and stands in parentheses that
 * a comment in it cannot hide.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/processor_catalog.h"
#include "nodes/pg_list.h"
#include "publish/outbox_private.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

char *
derive_outbox_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* Returns a condition on the operation. */
static char *
op_is(const char *operation)
{
	return psprintf("e.op OPERATOR(pg_catalog.=) '%s'::pg_catalog.text", operation);
}

/* Returns columns of a source's row, which is r, as one expression; NULL if there are none. */
static char *
key_expression(Oid source, List *key)
{
	StringInfoData sql;
	ListCell *lc;

	if (key == NIL)
		return NULL;
	initStringInfo(&sql);
	foreach (lc, key)
		appendStringInfo(&sql, "%sr.%s", sql.len > 0 ? ", " : "",
						 quote_identifier(get_attname(source, lfirst_int(lc), false)));
	if (list_length(key) == 1)
		return sql.data;
	return psprintf("pg_catalog.jsonb_build_array(%s)", sql.data);
}

/* Appends the values that a change has: topic, key, payload. */
static void
append_values(StringInfo sql, const CatalogOutbox *row, List *source_key,
			  OutboxPlan which)
{
	bool raw = which == PLAN_WRITE_RAW;
	char *current = psprintf("CASE WHEN %s THEN e.old ELSE e.new END", op_is("delete"));
	char *key = "NULL::pg_catalog.text";
	char *expression;
	char *payload;
	bool ours; /* a processor's: it needs its rows, whatever the key does */

	appendStringInfo(sql, "COALESCE(e.\"$topic\", %s::pg_catalog.text) AS topic, ",
					 quote_literal_cstr(row->topic));
	if (which == PLAN_WRITE_GAP)
	{
		appendStringInfoString(sql, "NULL::pg_catalog.text AS key,"
									" NULL::pg_catalog.jsonb AS payload");
		return;
	}
	if (!OidIsValid(row->source))
	{
		appendStringInfoString(sql, "e.\"$key\" AS key,"
									" e.\"$payload\"::pg_catalog.jsonb AS payload");
		return;
	}
	expression = row->key != NULL ? row->key : key_expression(row->source, source_key);
	if (expression != NULL && !raw)
		key = psprintf("(SELECT (%s\n)::pg_catalog.text FROM (SELECT (%s).*) r)",
					   expression, current);
	ours = row->payload != NULL && strcmp(row->payload, DERIVE_WHOLE_ROWS) == 0;
	payload = row->payload == NULL || (raw && !ours)
				  ? psprintf("pg_catalog.to_jsonb(%s)", current)
				  : psprintf("pg_catalog.to_jsonb((%s\n))", row->payload);
	appendStringInfo(
		sql,
		"CASE WHEN %1$s THEN e.\"$key\" WHEN %2$s OR %3$s THEN NULL ELSE %4$s END AS key,"
		" CASE WHEN %1$s THEN e.\"$payload\"::pg_catalog.jsonb WHEN %2$s THEN NULL"
		" ELSE %5$s END AS payload",
		op_is("message"), op_is("gap"), op_is("truncate"), key, payload);
}

char *
derive_outbox_write_sql(const CatalogOutbox *row, List *key, OutboxPlan which)
{
	char *table = derive_outbox_name(row->outbox);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(
		&sql,
		"INSERT INTO %s (position, id, aggregatetype, aggregateid, type, payload, headers,"
		" created_at) SELECT $1 OPERATOR(pg_catalog.+) pg_catalog.row_number() OVER (),"
		" COALESCE(x.id, derive_state.event_id('%s:" INT64_FORMAT "', x.lsn, x.ordinal)),"
		" x.topic, x.key, x.op, x.payload,"
		" derive_state.event_headers(x.lsn, x.ordinal, x.xid, x.at, x.request, $2), x.at"
		" FROM (SELECT e.\"$lsn\" AS lsn, e.\"$ordinal\" AS ordinal, e.\"$xid\" AS xid,"
		" e.\"$at\" AS at, e.\"$request\" AS request, e.\"$id\" AS id, %s AS op, ",
		table, derive_catalog_home(), row->id,
		which == PLAN_WRITE_GAP ? "'gap'::pg_catalog.text" : "e.op");
	append_values(&sql, row, key, which);
	appendStringInfoString(&sql, " FROM " LOG_NAME " e WHERE true");
	if (row->filter != NULL && (which == PLAN_WRITE || which == PLAN_WRITE_IDS))
		appendStringInfo(&sql, " AND (%s OR %s OR (%s\n))", op_is("message"),
						 op_is("gap"), row->filter);
	if (which != PLAN_WRITE)
		appendStringInfo(&sql,
						 " AND (e.\"$id\" IS NULL OR NOT EXISTS (SELECT FROM %s o"
						 " WHERE o.id OPERATOR(pg_catalog.=) e.\"$id\"))",
						 table);
	appendStringInfoString(&sql, ") x");
	return sql.data;
}

char *
derive_outbox_view_sql(const CatalogOutbox *row, List *key)
{
	Relation view = table_open(row->source, AccessShareLock);
	TupleDesc desc = RelationGetDescr(view);
	StringInfoData columns;
	StringInfoData keys;
	ListCell *lc;

	initStringInfo(&columns);
	initStringInfo(&keys);
	for (int i = 0; i < desc->natts; i++)
		appendStringInfo(&columns, "%sd.%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)));
	foreach (lc, key)
		appendStringInfo(
			&keys, "%sd.%s", keys.len > 0 ? ", " : "",
			quote_identifier(NameStr(TupleDescAttr(desc, lfirst_int(lc) - 1)->attname)));
	table_close(view, NoLock);
	if (keys.len == 0)
		appendStringInfoString(&keys, "d.\"$place\"");
	return psprintf(
		"SELECT (pg_catalog.array_agg(x.r) FILTER (WHERE x.s OPERATOR(pg_catalog.<) 0))[1],"
		" (pg_catalog.array_agg(x.r) FILTER (WHERE x.s OPERATOR(pg_catalog.>) 0))[1]"
		" FROM (SELECT d.\"" DERIVE_SIGN_COLUMN "\" AS s, ROW(%s)::%s AS r,"
		" derive_state.row_image(ROW(%s)) AS k, d.\"$place\" AS p FROM"
		" (SELECT *, pg_catalog.row_number() OVER () AS \"$place\" FROM " DELTA_NAME
		") d) x"
		" GROUP BY x.k ORDER BY pg_catalog.min(x.p)",
		columns.data, derive_outbox_name(row->source), keys.data);
}
