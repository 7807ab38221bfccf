/*-------------------------------------------------------------------------
 *
 * event_log.c
 *	  What happened to one source in one tick, in order, as rows that SQL can read.
 *
 * A log is a tuplestore that queries see under a name, as they see deltas; a row of a
 * table is a composite value in it.  The columns of a change are those that the source had
 * when it was decoded: one that came since is NULL, one that went is left out, and a
 * change whose columns had another type is given as lost.
 *
 * Lives in the applier; a log's rows, for one tick.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "publish/event_log.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define CHANGE_COLUMNS (EVENT_COLUMNS + 3)
#define EMISSION_COLUMNS (EVENT_COLUMNS + 4)

/* Makes a log with n columns, the first of which are there. */
static EventLog *
make_log(MemoryContext parent, int n)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_derive event log",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	EventLog *log = palloc0(sizeof(EventLog));

	log->context = context;
	log->desc = CreateTemplateTupleDesc(n);
	TupleDescInitEntry(log->desc, EVENT_NUMBER + 1, "number", INT8OID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_LSN + 1, "lsn", LSNOID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_ORDINAL + 1, "ordinal", INT8OID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_XID + 1, "xid", INT8OID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_TIME + 1, "at", TIMESTAMPTZOID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_REQUEST + 1, "request", TEXTOID, -1, 0);
	MemoryContextSwitchTo(old);
	return log;
}

EventLog *
derive_event_log_changes(MemoryContext parent, Oid source)
{
	EventLog *log = make_log(parent, CHANGE_COLUMNS);
	MemoryContext old = MemoryContextSwitchTo(log->context);
	Relation relation = table_open(source, AccessShareLock);
	Oid type = relation->rd_rel->reltype;

	log->row_desc = CreateTupleDescCopy(RelationGetDescr(relation));
	table_close(relation, NoLock);
	TupleDescInitEntry(log->desc, EVENT_COLUMNS + 1, "op", TEXTOID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_COLUMNS + 2, "old", type, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_COLUMNS + 3, "new", type, -1, 0);
	MemoryContextSwitchTo(old);
	return log;
}

EventLog *
derive_event_log_emissions(MemoryContext parent)
{
	EventLog *log = make_log(parent, EMISSION_COLUMNS);
	MemoryContext old = MemoryContextSwitchTo(log->context);

	TupleDescInitEntry(log->desc, EVENT_COLUMNS + 1, "topic", TEXTOID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_COLUMNS + 2, "key", TEXTOID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_COLUMNS + 3, "payload", TEXTOID, -1, 0);
	TupleDescInitEntry(log->desc, EVENT_COLUMNS + 4, "id", UUIDOID, -1, 0);
	MemoryContextSwitchTo(old);
	return log;
}

void
derive_event_log_free(EventLog *log)
{
	derive_event_log_reset(log);
	MemoryContextDelete(log->context);
}

void
derive_event_log_reset(EventLog *log)
{
	if (log->rows != NULL)
		tuplestore_end(log->rows);
	log->rows = NULL;
	log->nrows = 0;
}

/* Fills the columns that all logs have, and counts. */
static void
fill_origin(EventLog *log, Datum *values, bool *nulls, int64 number, const Origin *origin,
			const char *request)
{
	if (log->transaction != origin->commit_lsn)
	{
		log->transaction = origin->commit_lsn;
		log->ordinal = 0;
	}
	values[EVENT_NUMBER] = Int64GetDatum(number);
	values[EVENT_LSN] = LSNGetDatum(origin->commit_lsn);
	values[EVENT_ORDINAL] = Int64GetDatum(++log->ordinal);
	values[EVENT_XID] = Int64GetDatum((int64) origin->xid);
	values[EVENT_TIME] = TimestampTzGetDatum(origin->commit_time);
	nulls[EVENT_REQUEST] = request == NULL;
	if (request != NULL)
		values[EVENT_REQUEST] = CStringGetTextDatum(request);
}

/* Adds a row. */
static void
put(EventLog *log, Datum *values, bool *nulls)
{
	if (log->rows == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(log->context);

		log->rows = tuplestore_begin_heap(true, false, work_mem);
		MemoryContextSwitchTo(old);
	}
	tuplestore_putvalues(log->rows, log->desc, values, nulls);
	log->nrows++;
}

/*
 * Makes a composite value of a row of the source; NULL for none, or if a column had
 * another type.
 */
static Datum
make_row(EventLog *log, const RowLayout *layout, MinimalTuple row, bool *fits)
{
	int natts = log->row_desc->natts;
	Datum *in = palloc(sizeof(Datum) * (layout->ncolumns + 1));
	bool *in_null = palloc(layout->ncolumns + 1);
	Datum *out = palloc0(sizeof(Datum) * Max(natts, 1));
	bool *out_null = palloc(Max(natts, 1));
	HeapTupleData tuple;

	tuple.t_len = row->t_len + MINIMAL_TUPLE_OFFSET;
	tuple.t_data = (HeapTupleHeader) ((char *) row - MINIMAL_TUPLE_OFFSET);
	heap_deform_tuple(&tuple, layout->desc, in, in_null);
	memset(out_null, true, Max(natts, 1));
	for (int i = 0; i < layout->ncolumns; i++)
	{
		int at = layout->attnums[i] - 1;
		Form_pg_attribute theirs = TupleDescAttr(layout->desc, i + 1);

		if (at >= natts || TupleDescAttr(log->row_desc, at)->attisdropped)
			continue;
		if (TupleDescAttr(log->row_desc, at)->atttypid != theirs->atttypid)
			*fits = false;
		out[at] = in[i + 1];
		out_null[at] = in_null[i + 1];
	}
	if (!*fits)
		return (Datum) 0;
	return heap_copy_tuple_as_datum(heap_form_tuple(log->row_desc, out, out_null),
									log->row_desc);
}

/* Returns what a record did. */
static const char *
operation_of(const StreamRecord *record)
{
	if (record->kind == STREAM_TRUNCATE)
		return "truncate";
	if (record->kind != STREAM_CHANGE)
		return "gap";
	if (record->old_row == NULL)
		return "insert";
	return record->new_row == NULL ? "delete" : "update";
}

void
derive_event_log_add_change(EventLog *log, int64 number, const Origin *origin,
							const char *request, const StreamRecord *record)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_derive event",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum values[CHANGE_COLUMNS] = {0};
	bool nulls[CHANGE_COLUMNS] = {0};
	const MinimalTuple rows[] = {record->old_row, record->new_row};
	const char *operation = operation_of(record);
	bool fits = true;

	fill_origin(log, values, nulls, number, origin, request);
	for (int i = 0; i < 2; i++)
	{
		nulls[EVENT_COLUMNS + 1 + i] = record->kind != STREAM_CHANGE || rows[i] == NULL;
		if (!nulls[EVENT_COLUMNS + 1 + i])
			values[EVENT_COLUMNS + 1 + i] = make_row(log, record->layout, rows[i], &fits);
	}
	if (!fits)
	{
		operation = "gap";
		nulls[EVENT_COLUMNS + 1] = nulls[EVENT_COLUMNS + 2] = true;
	}
	values[EVENT_COLUMNS] = CStringGetTextDatum(operation);
	put(log, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
derive_event_log_add_emission(EventLog *log, int64 number, const Origin *origin,
							  const char *request, const char *topic, const char *key,
							  const char *payload, const Datum *id)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_derive event",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum values[EMISSION_COLUMNS] = {0};
	bool nulls[EMISSION_COLUMNS] = {0};
	const char *texts[] = {topic, key, payload};

	fill_origin(log, values, nulls, number, origin, request);
	for (int i = 0; i < 3; i++)
	{
		nulls[EVENT_COLUMNS + i] = texts[i] == NULL;
		if (texts[i] != NULL)
			values[EVENT_COLUMNS + i] = CStringGetTextDatum(texts[i]);
	}
	nulls[EVENT_COLUMNS + 3] = id == NULL;
	if (id != NULL)
		values[EVENT_COLUMNS + 3] = *id;
	put(log, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
