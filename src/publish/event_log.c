/*-------------------------------------------------------------------------
 *
 * event_log.c
 *	  What an outbox is to be told in one tick, in order, as rows that SQL can read.
 *
 * A log is a tuplestore that a statement sees under a name, as it sees deltas; a row of a
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

EventLog *
derive_event_log_make(MemoryContext parent, Oid source)
{
	static const struct
	{
		const char *name;
		Oid type;
	} columns[] = {{"$lsn", LSNOID},		{"$ordinal", INT8OID}, {"$xid", INT8OID},
				   {"$at", TIMESTAMPTZOID}, {"$request", TEXTOID}, {"$topic", TEXTOID},
				   {"$key", TEXTOID},		{"$payload", TEXTOID}, {"$id", UUIDOID},
				   {"op", TEXTOID}};
	MemoryContext context = AllocSetContextCreate(parent, "pg_derive event log",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	EventLog *log = palloc0(sizeof(EventLog));

	log->context = context;
	log->desc = CreateTemplateTupleDesc(OidIsValid(source) ? EVENT_COLUMNS : EVENT_OLD);
	for (int i = 0; i < EVENT_OLD; i++)
		TupleDescInitEntry(log->desc, i + 1, columns[i].name, columns[i].type, -1, 0);
	if (OidIsValid(source))
	{
		Relation relation = table_open(source, AccessShareLock);
		Oid type = relation->rd_rel->reltype;

		log->row_desc = CreateTupleDescCopyConstr(RelationGetDescr(relation));
		table_close(relation, NoLock);
		TupleDescInitEntry(log->desc, EVENT_OLD + 1, "old", type, -1, 0);
		TupleDescInitEntry(log->desc, EVENT_NEW + 1, "new", type, -1, 0);
	}
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
	if (log->ids != NULL)
		hash_destroy(log->ids);
	log->rows = NULL;
	log->ids = NULL;
	log->nrows = 0;
}

/* Returns the number of the next event in its transaction. */
static int64
next_ordinal(EventLog *log, const Origin *origin)
{
	if (log->transaction != origin->commit_lsn)
	{
		log->transaction = origin->commit_lsn;
		log->ordinal = 0;
	}
	return ++log->ordinal;
}

/* Adds a row: what origin, request and operation say is filled in here. */
static void
put(EventLog *log, Datum *values, bool *nulls, const Origin *origin, const char *request,
	const char *operation)
{
	values[EVENT_LSN] = LSNGetDatum(origin->commit_lsn);
	values[EVENT_ORDINAL] = Int64GetDatum(next_ordinal(log, origin));
	values[EVENT_XID] = Int64GetDatum((int64) origin->xid);
	values[EVENT_TIME] = TimestampTzGetDatum(origin->commit_time);
	values[EVENT_OP] = CStringGetTextDatum(operation);
	nulls[EVENT_LSN] = nulls[EVENT_ORDINAL] = nulls[EVENT_TIME] = nulls[EVENT_OP] = false;
	nulls[EVENT_XID] = origin->xid == 0;
	if (request != NULL)
	{
		values[EVENT_REQUEST] = CStringGetTextDatum(request);
		nulls[EVENT_REQUEST] = false;
	}
	if (log->rows == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(log->context);

		log->rows = tuplestore_begin_heap(true, false, work_mem);
		MemoryContextSwitchTo(old);
	}
	tuplestore_putvalues(log->rows, log->desc, values, nulls);
	log->nrows++;
}

/* Makes a context for one event, and it the current one. */
static MemoryContext
begin_event(MemoryContext *old)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_derive event",
												  ALLOCSET_DEFAULT_SIZES);

	*old = MemoryContextSwitchTo(context);
	return context;
}

/* Frees what one event took. */
static void
end_event(MemoryContext context, MemoryContext old)
{
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Makes a composite value of a row of the source; fits: false if a column had another type. */
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

/* Returns what happened, by which rows there are. */
static const char *
operation_of(bool has_old, bool has_new)
{
	return !has_old ? "insert" : !has_new ? "delete" : "update";
}

void
derive_event_log_add_change(EventLog *log, const Origin *origin, const char *request,
							const StreamRecord *record)
{
	MemoryContext old;
	MemoryContext context = begin_event(&old);
	Datum values[EVENT_COLUMNS] = {0};
	bool nulls[EVENT_COLUMNS];
	const MinimalTuple rows[] = {record->old_row, record->new_row};
	const char *operation = record->kind == STREAM_TRUNCATE ? "truncate" : "gap";
	bool fits = true;

	memset(nulls, true, sizeof(nulls));
	if (record->kind == STREAM_CHANGE)
	{
		operation = operation_of(rows[0] != NULL, rows[1] != NULL);
		for (int i = 0; i < 2; i++)
		{
			nulls[EVENT_OLD + i] = rows[i] == NULL;
			if (rows[i] != NULL)
				values[EVENT_OLD + i] = make_row(log, record->layout, rows[i], &fits);
		}
	}
	if (!fits)
	{
		operation = "gap";
		nulls[EVENT_OLD] = nulls[EVENT_NEW] = true;
	}
	put(log, values, nulls, origin, request, operation);
	end_event(context, old);
}

void
derive_event_log_add_rows(EventLog *log, const Origin *origin, Datum old_row,
						  Datum new_row)
{
	MemoryContext old;
	MemoryContext context = begin_event(&old);
	Datum values[EVENT_COLUMNS] = {0};
	bool nulls[EVENT_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	values[EVENT_OLD] = old_row;
	values[EVENT_NEW] = new_row;
	nulls[EVENT_OLD] = old_row == (Datum) 0;
	nulls[EVENT_NEW] = new_row == (Datum) 0;
	put(log, values, nulls, origin, NULL,
		operation_of(old_row != (Datum) 0, new_row != (Datum) 0));
	end_event(context, old);
}

void
derive_event_log_add_gap(EventLog *log, const Origin *origin)
{
	MemoryContext old;
	MemoryContext context = begin_event(&old);
	Datum values[EVENT_COLUMNS] = {0};
	bool nulls[EVENT_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	put(log, values, nulls, origin, NULL, "gap");
	end_event(context, old);
}

/* Notes a caller's id; returns false if this log has it already. */
static bool
note_id(EventLog *log, const pg_uuid_t *id)
{
	bool found;

	if (log->ids == NULL)
	{
		HASHCTL ctl = {0};

		ctl.keysize = UUID_LEN;
		ctl.entrysize = UUID_LEN;
		ctl.hcxt = log->context;
		log->ids = hash_create("pg_derive event ids", 64, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	(void) hash_search(log->ids, id, HASH_ENTER, &found);
	return !found;
}

void
derive_event_log_add_emission(EventLog *log, const Origin *origin, const char *request,
							  const Emission *emission)
{
	MemoryContext old;
	MemoryContext context;
	Datum values[EVENT_COLUMNS] = {0};
	bool nulls[EVENT_COLUMNS];
	const char *texts[] = {emission->topic, emission->key, emission->payload};

	if (emission->has_id && !note_id(log, &emission->id))
	{
		/* it counts as if its id came from an earlier tick: ids do not depend on ticks */
		(void) next_ordinal(log, origin);
		return;
	}
	context = begin_event(&old);
	memset(nulls, true, sizeof(nulls));
	for (int i = 0; i < 3; i++)
	{
		nulls[EVENT_TOPIC + i] = texts[i] == NULL;
		if (texts[i] != NULL)
			values[EVENT_TOPIC + i] = CStringGetTextDatum(texts[i]);
	}
	nulls[EVENT_ID] = !emission->has_id;
	values[EVENT_ID] = UUIDPGetDatum(&emission->id);
	put(log, values, nulls, origin, request, "message");
	end_event(context, old);
}

Tuplestorestate *
derive_event_log_slice(EventLog *log, int64 n, int64 *got)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(log->desc, &TTSOpsMinimalTuple);
	Tuplestorestate *slice = NULL;

	*got = 0;
	while (*got < n && tuplestore_gettupleslot(log->rows, true, false, slot))
	{
		if (slice == NULL)
			slice = tuplestore_begin_heap(true, false, work_mem);
		tuplestore_puttupleslot(slice, slot);
		++*got;
	}
	ExecDropSingleTupleTableSlot(slot);
	return slice;
}
