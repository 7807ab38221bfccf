/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  From transactions and views' deltas to rows of outboxes.
 *
 * Over a table: the batch hands over each transaction once, in the order of commits, and
 * behind one that is not visible yet none.  What concerns an outbox is put into its
 * log (event_log.c).  At the end of the tick one INSERT ... SELECT per outbox makes rows
 * of the log, in its order, with the user's expressions, as the outbox's owner.  Its
 * rows, the number of the last one and how far the log was read commit with the tick: a
 * crash repeats all or nothing.
 *
 * Over a derived view: the view's delta of the tick is the log.  Rows that share the view's key
 * are one update.
 *
 * An event's id is the MD5 of where it comes from: system, outbox, commit LSN, and its
 * number among the changes of its source (or the emissions to its outbox) in the
 * transaction.  So it does not depend on how transactions are divided into ticks.
 *
 * If an expression fails, the events are written one by one, and those that fail
 * carry the row itself as payload, no key, and the error in their headers: nothing is
 * left out and nothing waits.
 *
 * Which changes are events: those that commit behind the message in the log by which the
 * outbox was created, and not by that very transaction.  If the message comes before the
 * catalog's row was read, all that follows waits for the next tick.
 *
 * Runs in the applier but for derive_outbox_check.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xlog.h"
#include "base/owner.h"
#include "catalog/outbox_catalog.h"
#include "catalog/pg_type.h"
#include "catalog/view_catalog.h"
#include "change/message.h"
#include "executor/spi.h"
#include "maintain/delta_query.h"
#include "maintain/view_set.h"
#include "miscadmin.h"
#include "publish/emission.h"
#include "publish/event_log.h"
#include "publish/outbox.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define CHANGES_NAME "outbox_changes"
#define EMISSIONS_NAME "outbox_emissions"
#define DELTA_NAME "outbox_delta"

/* What a statement reads; a kept plan for each combination. */
typedef enum Reads
{
	READS_CHANGES = 1, /* the log, or the view's delta */
	READS_EMISSIONS = 2,
	READS_COMBINATIONS = 4
} Reads;

typedef struct Outbox
{
	CatalogOutbox row;
	Oid owner;
	List *view_key; /* of a view: attnos of its key */
	EventLog *changes;
	EventLog *emissions;
	SPIPlanPtr plans[READS_COMBINATIONS];
	bool usable; /* this tick: its relations are locked */
} Outbox;

typedef struct OutboxPublisher
{
	Publisher pub;
	MemoryContext context; /* lives as long as the process */
	MemoryContext catalog_context;
	List *outboxes; /* of Outbox */
	struct varlena *secret;

	/* the transaction at hand */
	XLogRecPtr transaction;
	char *request; /* its request id, or NULL */
	int64 number;  /* events taken in this tick */
} OutboxPublisher;

static bool writing = false;

bool
derive_outbox_is_writing(void)
{
	return writing;
}

/* ---------- SQL ---------- */

/* Returns a relation's row type's name, or its own name. */
static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* Appends the log of a view: its delta, with the rows of one key put together. */
static void
append_view_log(StringInfo sql, const CatalogOutbox *row, List *key)
{
	Relation view = table_open(row->source, AccessShareLock);
	TupleDesc desc = RelationGetDescr(view);
	StringInfoData columns;
	StringInfoData keys;
	ListCell *lc;

	initStringInfo(&columns);
	initStringInfo(&keys);
	for (int i = 0; i < desc->natts; i++)
		appendStringInfo(
			&columns, "%sd.%s", i > 0 ? ", " : "",
			TupleDescAttr(desc, i)->attisdropped
				? "NULL"
				: quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)));
	foreach (lc, key)
		appendStringInfo(
			&keys, "%sd.%s", keys.len > 0 ? ", " : "",
			quote_identifier(NameStr(TupleDescAttr(desc, lfirst_int(lc) - 1)->attname)));
	table_close(view, NoLock);
	if (keys.len == 0)
		appendStringInfoString(&keys, "d.place");
	appendStringInfo(
		sql,
		"(SELECT pg_catalog.row_number() OVER () AS number, $4::pg_catalog.pg_lsn AS lsn,"
		" pg_catalog.row_number() OVER () AS ordinal, NULL::bigint AS xid,"
		" $5::timestamptz AS at, NULL::text AS request,"
		" CASE WHEN y.n_old = 0 THEN 'insert' WHEN y.n_new = 0 THEN 'delete'"
		" ELSE 'update' END AS op, y.old, y.new"
		" FROM (SELECT pg_catalog.count(*) FILTER (WHERE x.s < 0) AS n_old,"
		" pg_catalog.count(*) FILTER (WHERE x.s > 0) AS n_new,"
		" (pg_catalog.array_agg(x.r) FILTER (WHERE x.s < 0))[1] AS old,"
		" (pg_catalog.array_agg(x.r) FILTER (WHERE x.s > 0))[1] AS new"
		" FROM (SELECT d.\"" DERIVE_SIGN_COLUMN "\" AS s, ROW(%s)::%s AS r,"
		" ROW(%s)::text AS k FROM (SELECT *, pg_catalog.row_number() OVER ()"
		" AS place FROM " DELTA_NAME ") d) x GROUP BY x.k) y)",
		columns.data, qualified_name(row->source), keys.data);
}

/*
 * Appends the events of changes: number, lsn, ordinal, xid, at, request, topic, key,
 * type, payload, id.  raw: without the user's expressions.
 */
static void
append_changes(StringInfo sql, const CatalogOutbox *row, List *view_key, bool raw)
{
	const char *current = "(CASE WHEN e.op = 'delete' THEN e.old ELSE e.new END)";
	char *key = raw || row->key == NULL
					? "NULL::text"
					: psprintf("(SELECT (%s\n)::text FROM (SELECT %s.*) r)", row->key,
							   current);
	char *payload = raw || row->payload == NULL
						? psprintf("pg_catalog.to_jsonb(%s)", current)
						: psprintf("pg_catalog.to_jsonb((%s\n))", row->payload);

	appendStringInfo(
		sql,
		"SELECT e.number, e.lsn, e.ordinal, e.xid, e.at, e.request, %s::text AS topic,"
		" CASE WHEN e.op IN ('gap', 'truncate') THEN NULL ELSE %s END AS key, e.op AS type,"
		" CASE WHEN e.op = 'gap' THEN NULL ELSE %s END AS payload, NULL::uuid AS id,"
		" 'c' AS kind FROM ",
		quote_literal_cstr(row->topic), key, payload);
	if (row->of_view)
		append_view_log(sql, row, view_key);
	else
		appendStringInfoString(sql, CHANGES_NAME);
	appendStringInfoString(sql, " e WHERE ($3::bigint IS NULL OR e.number = $3)");
	if (!raw && row->filter != NULL)
		appendStringInfo(sql, " AND (e.op = 'gap' OR (%s\n))", row->filter);
}

/* Returns the statement that writes events. */
static char *
insert_sql(const CatalogOutbox *row, List *view_key, int reads, bool raw)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(
		&sql,
		"INSERT INTO %s (position, id, aggregatetype, aggregateid, type, payload, headers,"
		" created_at) SELECT $1 + pg_catalog.row_number() OVER (ORDER BY x.number),"
		" COALESCE(x.id, pg_catalog.md5(pg_catalog.concat_ws(':', $2::text,"
		" '" INT64_FORMAT "', x.lsn, x.kind, x.ordinal))::uuid), x.topic, x.key, x.type,"
		" x.payload, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object("
		"'commit_lsn', x.lsn::text, 'ordinal', x.ordinal, 'xid', x.xid, 'commit_time', x.at,"
		" 'request_id', x.request, 'error', $6::text)), x.at FROM (",
		qualified_name(row->outbox), row->id);
	if (reads & READS_CHANGES)
		append_changes(&sql, row, view_key, raw);
	if (reads == (READS_CHANGES | READS_EMISSIONS))
		appendStringInfoString(&sql, " UNION ALL ");
	if (reads & READS_EMISSIONS) /* an id of the caller's counts once */
		appendStringInfo(
			&sql,
			"SELECT m.number, m.lsn, m.ordinal, m.xid, m.at, m.request, m.topic, m.key,"
			" 'message' AS type, m.payload::jsonb AS payload, m.id, 'm' AS kind FROM " EMISSIONS_NAME
			" m WHERE ($3::bigint IS NULL OR m.number = $3) AND (m.id IS NULL OR"
			" (NOT EXISTS (SELECT FROM %s o WHERE o.id = m.id) AND NOT EXISTS (SELECT FROM " EMISSIONS_NAME
			" b WHERE b.id = m.id AND b.number < m.number)))",
			qualified_name(row->outbox));
	appendStringInfoString(&sql, ") x ORDER BY x.number");
	return sql.data;
}

/* Prepares a statement; the caller is connected and has registered what it reads. */
static SPIPlanPtr
prepare(const char *sql)
{
	Oid types[6] = {INT8OID, TEXTOID, INT8OID, LSNOID, TIMESTAMPTZOID, TEXTOID};
	SPIPlanPtr plan = SPI_prepare(sql, 6, types);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	return plan;
}

/* Becomes the owner of an outbox, who reads names by the path of its creation. */
static void
enter_owner(OwnerScope *scope, const CatalogOutbox *row, Oid owner)
{
	derive_owner_enter(scope, owner);
	(void) set_config_option("search_path", row->path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
derive_outbox_check(const CatalogOutbox *row)
{
	EventLog *log;
	OwnerScope scope;

	if (!OidIsValid(row->source))
		return;
	log = derive_event_log_changes(CurrentMemoryContext, row->source);
	SPI_connect();
	enter_owner(&scope, row, GetUserId());
	if (row->of_view)
	{
		Relation view = table_open(row->source, AccessShareLock);
		int natts = RelationGetNumberOfAttributes(view);
		AttrNumber *attnums = palloc(sizeof(AttrNumber) * natts);

		for (int i = 0; i < natts; i++)
			attnums[i] = i + 1;
		derive_query_register(
			DELTA_NAME, derive_layout_make_desc(RelationGetDescr(view), natts, attnums),
			NULL, 0);
		table_close(view, NoLock);
	}
	else
		derive_query_register(CHANGES_NAME, log->desc, NULL, 0);
	(void) prepare(insert_sql(row, NIL, READS_CHANGES, false));
	derive_owner_leave(&scope);
	SPI_finish();
	derive_event_log_free(log);
}

/* ---------- the catalog ---------- */

/* Frees the plans of an outbox. */
static void
forget_plans(Outbox *outbox)
{
	for (int i = 0; i < READS_COMBINATIONS; i++)
	{
		if (outbox->plans[i] != NULL)
			SPI_freeplan(outbox->plans[i]);
		outbox->plans[i] = NULL;
	}
}

/* Forgets all outboxes. */
static void
forget_outboxes(OutboxPublisher *p)
{
	ListCell *lc;

	foreach (lc, p->outboxes)
		forget_plans(lfirst(lc));
	p->outboxes = NIL;
	MemoryContextReset(p->catalog_context);
}

/* Reads the catalog, see publisher.h. */
static List *
read_catalog(Publisher *publisher)
{
	OutboxPublisher *p = (OutboxPublisher *) publisher;
	List *sources = NIL;
	MemoryContext old;
	ListCell *lc;
	List *rows;

	forget_outboxes(p);
	old = MemoryContextSwitchTo(p->catalog_context);
	rows = derive_catalog_read_outboxes();
	foreach (lc, rows)
	{
		CatalogOutbox *row = lfirst(lc);
		CatalogView *view = row->of_view ? derive_catalog_find_view(row->source) : NULL;
		Outbox *outbox;

		MemoryContextSwitchTo(p->catalog_context); /* SPI left another one */
		outbox = palloc0(sizeof(Outbox));
		outbox->row = *row;
		outbox->view_key = view != NULL ? list_copy(view->key) : NIL;
		outbox->emissions = derive_event_log_emissions(p->catalog_context);
		p->outboxes = lappend(p->outboxes, outbox);
	}
	MemoryContextSwitchTo(p->catalog_context);
	p->secret = rows == NIL ? NULL : derive_catalog_secret();
	MemoryContextSwitchTo(old);
	foreach (lc, p->outboxes)
		if (OidIsValid(((Outbox *) lfirst(lc))->row.source))
			sources = list_append_unique_oid(sources,
											 ((Outbox *) lfirst(lc))->row.source);
	return sources;
}

/* ---------- taking ---------- */

/* Sees to it that the log has the columns that the source has now. */
static void
renew_log(OutboxPublisher *p, Outbox *outbox)
{
	Relation source = table_open(outbox->row.source, AccessShareLock);

	if (outbox->changes == NULL ||
		!equalTupleDescs(outbox->changes->row_desc, RelationGetDescr(source)))
	{
		if (outbox->changes != NULL)
			derive_event_log_free(outbox->changes);
		forget_plans(outbox);
		outbox->changes = derive_event_log_changes(p->catalog_context,
												   outbox->row.source);
	}
	table_close(source, NoLock);
}

/* Takes the locks of a tick, see publisher.h. */
static void
begin(Publisher *publisher)
{
	OutboxPublisher *p = (OutboxPublisher *) publisher;
	ListCell *lc;

	publisher->sink.blocked = false;
	p->number = 0;
	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);
		Oid source = outbox->row.source;

		outbox->usable = derive_view_set_lock_now(outbox->row.outbox, RowExclusiveLock) &&
						 (!OidIsValid(source) ||
						  derive_view_set_lock_now(source, AccessShareLock));
		if (outbox->usable && OidIsValid(source) && !outbox->row.of_view)
			renew_log(p, outbox);
		else if (!outbox->usable &&
				 SearchSysCacheExists1(RELOID, ObjectIdGetDatum(outbox->row.outbox)))
			publisher->sink.blocked = true;
	}
}

/* Takes an emission. */
static void
take_emission(OutboxPublisher *p, const Origin *origin, const StreamRecord *record)
{
	Emission emission;
	ListCell *lc;

	if (p->secret == NULL || !record->transactional ||
		!derive_emission_read(record->content, record->content_len, p->secret, &emission))
		return;
	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);
		Datum id = UUIDPGetDatum(&emission.id);

		if (outbox->row.id == emission.outbox && outbox->usable)
			derive_event_log_add_emission(outbox->emissions, ++p->number, origin,
										  p->request, emission.topic, emission.key,
										  emission.payload, emission.has_id ? &id : NULL);
	}
}

/* Learns of an outbox: what follows waits until the catalog's row has been read. */
static void
take_announcement(OutboxPublisher *p, const StreamRecord *record)
{
	OutboxAnnouncement announcement;
	ListCell *lc;

	if (record->content_len != sizeof(announcement))
		return;
	memcpy(&announcement, record->content, sizeof(announcement));
	foreach (lc, p->outboxes)
		if (((Outbox *) lfirst(lc))->row.id == announcement.outbox)
			return;
	p->pub.sink.blocked = true;
	p->pub.reread = true;
}

/* Takes a logical message. */
static void
take_message(OutboxPublisher *p, const Origin *origin, const StreamRecord *record)
{
	if (strcmp(record->prefix, DERIVE_MESSAGE_REQUEST) == 0)
		p->request = MemoryContextStrdup(p->context,
										 pnstrdup(record->content, record->content_len));
	else if (strcmp(record->prefix, DERIVE_MESSAGE_EMIT) == 0)
		take_emission(p, origin, record);
	else if (strcmp(record->prefix, DERIVE_MESSAGE_OUTBOX) == 0)
		take_announcement(p, record);
}

/* Takes a record of a transaction that is the sink's turn. */
static void
take(CommitSink *sink, const Origin *origin, const StreamRecord *record)
{
	OutboxPublisher *p = (OutboxPublisher *) sink;
	Oid source;
	ListCell *lc;

	if (p->transaction != origin->commit_lsn)
	{
		p->transaction = origin->commit_lsn;
		if (p->request != NULL)
			pfree(p->request);
		p->request = NULL;
	}
	if (record->kind == STREAM_MESSAGE)
		take_message(p, origin, record);
	if (record->kind != STREAM_CHANGE && record->kind != STREAM_TRUNCATE &&
		record->kind != STREAM_LOST)
		return;
	source = record->kind == STREAM_CHANGE ? record->layout->source : record->source;
	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);

		if (outbox->row.source == source && outbox->changes != NULL && outbox->usable &&
			origin->commit_lsn > outbox->row.created_lsn &&
			origin->xid != outbox->row.created_xid)
			derive_event_log_add_change(outbox->changes, ++p->number, origin, p->request,
										record);
	}
}

/* ---------- writing ---------- */

/* What the events of an outbox are written with. */
typedef struct Writing
{
	Outbox *outbox;
	SourceDelta *delta; /* of a view, or NULL */
	int reads;
	int64 position; /* of the last event */
	XLogRecPtr lsn;
} Writing;

/* Makes what was taken visible to SQL. */
static void
register_logs(Writing *w)
{
	Outbox *outbox = w->outbox;

	if (w->delta != NULL)
		derive_query_register(DELTA_NAME, w->delta->desc, w->delta->rows,
							  w->delta->nrows);
	else if (w->reads & READS_CHANGES)
		derive_query_register(CHANGES_NAME, outbox->changes->desc, outbox->changes->rows,
							  outbox->changes->nrows);
	if (w->reads & READS_EMISSIONS)
		derive_query_register(EMISSIONS_NAME, outbox->emissions->desc,
							  outbox->emissions->rows, outbox->emissions->nrows);
}

/* Runs a statement; number: of one event, or 0 for all; error: goes into its headers. */
static void
execute(Writing *w, SPIPlanPtr plan, int64 number, const char *error)
{
	Datum values[6];
	char nulls[7] = "      ";

	values[0] = Int64GetDatum(w->position);
	values[1] = CStringGetTextDatum(psprintf(UINT64_FORMAT, GetSystemIdentifier()));
	values[2] = Int64GetDatum(number);
	values[3] = LSNGetDatum(w->lsn);
	values[4] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[5] = error != NULL ? CStringGetTextDatum(error) : (Datum) 0;
	if (number == 0)
		nulls[2] = 'n';
	if (error == NULL)
		nulls[5] = 'n';
	if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write events");
	w->position += SPI_processed;
}

/* Returns the kept plan of what is to be read. */
static SPIPlanPtr
kept_plan(Writing *w)
{
	Outbox *outbox = w->outbox;

	if (outbox->plans[w->reads] == NULL)
	{
		SPIPlanPtr plan = prepare(
			insert_sql(&outbox->row, outbox->view_key, w->reads, false));

		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "could not keep a plan");
		outbox->plans[w->reads] = plan;
	}
	return outbox->plans[w->reads];
}

/* Notes the position of the last event, as the worker. */
static void
store_position(Writing *w)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(w->outbox->row.id), Int64GetDatum(w->position)};

	if (SPI_execute_with_args(
			"INSERT INTO derive_state.outbox_position VALUES ($1, $2)"
			" ON CONFLICT (id) DO UPDATE SET position = EXCLUDED.position",
			2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store an outbox's position");
}

/* Reads the position of the last event. */
static int64
read_position(Outbox *outbox)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(outbox->row.id)};
	bool isnull;

	if (SPI_execute_with_args("SELECT position FROM derive_state.outbox_position"
							  " WHERE id OPERATOR(pg_catalog.=) $1",
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read an outbox's position");
	if (SPI_processed == 0)
		return 0;
	return DatumGetInt64(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Writes events in a subtransaction; returns an error's message, or NULL. */
static char *
write_protected(Writing *w, SPIPlanPtr plan, const char *raw_sql, int64 number,
				const char *header)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int64 position = w->position;
	char *volatile message = NULL;
	OwnerScope scope;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		writing = true;
		SPI_connect();
		enter_owner(&scope, &w->outbox->row, w->outbox->owner);
		register_logs(w);
		execute(w,
				raw_sql != NULL ? prepare(raw_sql)
				: plan != NULL	? plan
								: kept_plan(w),
				number, header);
		derive_owner_leave(&scope);
		SPI_finish();
		writing = false;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		writing = false;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		message = pstrdup(error->message);
		w->position = position;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return message;
}

/* Writes events one by one, those whose expressions fail without them. */
static void
write_singly(Writing *w, int64 first, int64 last)
{
	char *raw = insert_sql(&w->outbox->row, w->outbox->view_key, w->reads, true);

	for (int64 number = first; number <= last; number++)
	{
		char *error = write_protected(w, NULL, NULL, number, NULL);

		CHECK_FOR_INTERRUPTS();
		if (error != NULL &&
			(error = write_protected(w, NULL, raw, number, error)) != NULL)
			ereport(ERROR, (errmsg("could not write to outbox \"%s\": %s",
								   get_rel_name(w->outbox->row.outbox), error)));
	}
}

/* Finds the delta of a view in whichever cohort it is. */
static SourceDelta *
find_delta(List *cohorts, Oid view)
{
	ListCell *lc;

	foreach (lc, cohorts)
	{
		SourceDelta *delta = derive_delta_find(&((Cohort *) lfirst(lc))->deltas, view);

		if (delta != NULL && delta->nrows > 0)
			return delta;
	}
	return NULL;
}

/* Returns the owner of a relation. */
static Oid
owner_of(Oid relid)
{
	Relation relation = table_open(relid, NoLock);
	Oid owner = relation->rd_rel->relowner;

	table_close(relation, NoLock);
	return owner;
}

/* Writes the events of one outbox; returns how many. */
static int64
write_outbox(OutboxPublisher *p, Outbox *outbox, List *cohorts, XLogRecPtr lsn)
{
	Writing w = {.outbox = outbox, .lsn = lsn};
	int64 before;
	int64 last = p->number;
	char *error;

	if (outbox->row.of_view)
	{
		w.delta = find_delta(cohorts, outbox->row.source);
		if (w.delta != NULL)
			last = Max(last, w.delta->nrows);
	}
	if (w.delta != NULL || (outbox->changes != NULL && outbox->changes->nrows > 0))
		w.reads |= READS_CHANGES;
	if (outbox->emissions->nrows > 0)
		w.reads |= READS_EMISSIONS;
	if (w.reads == 0)
		return 0;
	outbox->owner = owner_of(outbox->row.outbox);
	SPI_connect();
	before = w.position = read_position(outbox);
	error = write_protected(&w, NULL, NULL, 0, NULL);
	if (error != NULL)
	{
		ereport(WARNING, (errmsg("an expression of outbox \"%s\" failed: %s",
								 get_rel_name(outbox->row.outbox), error)));
		write_singly(&w, 1, last);
	}
	store_position(&w);
	SPI_finish();
	return w.position - before;
}

/* Writes what was taken, see publisher.h. */
static int64
write_events(Publisher *publisher, List *cohorts, XLogRecPtr lsn)
{
	OutboxPublisher *p = (OutboxPublisher *) publisher;
	int64 written = 0;
	ListCell *lc;

	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);

		if (outbox->usable)
			written += write_outbox(p, outbox, cohorts, lsn);
		if (outbox->changes != NULL)
			derive_event_log_reset(outbox->changes);
		derive_event_log_reset(outbox->emissions);
	}
	return written;
}

Publisher *
derive_outbox_publisher(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_derive publisher",
												  ALLOCSET_DEFAULT_SIZES);
	OutboxPublisher *p = MemoryContextAllocZero(context, sizeof(OutboxPublisher));

	p->context = context;
	p->catalog_context = AllocSetContextCreate(context, "pg_derive outboxes",
											   ALLOCSET_DEFAULT_SIZES);
	p->pub.sink.take = take;
	p->pub.read_catalog = read_catalog;
	p->pub.begin = begin;
	p->pub.write = write_events;
	return &p->pub;
}
