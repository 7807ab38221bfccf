/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  From the change stream to the deltas of one tick.
 *
 * A tick's snapshot decides which source transactions belong to it: those that
 * the new frontier contains and a cohort's old one does not.  The rows of such a
 * transaction go straight from the queue into the tuplestores of the deltas.
 *
 * Two kinds of transactions cannot be used up at once and are kept, with their
 * records as bytes, in memory up to KEEP_IN_MEMORY each and in a temporary file
 * beyond:
 *  - deferred ones: the commit record has been decoded, but the committing
 *    backend has not left the proc array yet, so the snapshot does not show it
 *    (synchronous replication can hold it there for long);
 *  - retained ones, which some cohort cannot take now, because a source of it is
 *    locked by somebody, or that the sink cannot, because an earlier one is deferred
 *    or because one of its outboxes is locked.
 * Both are offered again, in commit order, at the start of the next tick.  Their
 * oldest commit bounds what the slot may confirm, so nothing is lost in a crash.
 *
 * What only outboxes wait for that cannot be written can be forgotten, if it gets too much:
 * the log still has it.  When one of them can be written again, this process ends, and the
 * next one reads the log from there.
 *
 * All this runs in the applier.  Kept transactions outlive transactions: they
 * lie in a context of their own and their files belong to no resource owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/batch.h"

#include "base/compat.h"
#include "lib/ilist.h"
#include "storage/buffile.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define KEEP_IN_MEMORY (64 * 1024)
#define KEEP_FIRST 256 /* many are small, and many are kept */

typedef struct KeptTransaction
{
	dlist_node node;
	Origin origin;
	bool deferred;		   /* was not visible when last offered */
	MemoryContext context; /* holds this struct and its records */
	int64 nrecords;
	StringInfoData memory; /* length-prefixed records, until there is a file */
	BufFile *file;
	int64 bytes; /* of memory and file, once it is there as a whole */
} KeptTransaction;

/* How rows of a layout become rows of a delta. */
typedef enum LayoutFit
{
	FIT_UNKNOWN = 0,
	FIT_SAME,	 /* the same columns and types */
	FIT_CONVERT, /* the delta has other columns, shared ones have one type */
	FIT_NONE	 /* a shared column changed its type */
} LayoutFit;

struct Batch
{
	ChangeStream *stream;
	MemoryContext context;
	dlist_head kept; /* of KeptTransaction, in commit order */
	int64 kept_bytes;

	/* first and last commit of what was forgotten; InvalidXLogRecPtr: nothing */
	XLogRecPtr forgotten_from;
	XLogRecPtr forgotten_to;

	/* the deltas, without ONLY and with it, that the last row went to; rows come in runs */
	struct
	{
		const RowLayout *layout;
		SourceDelta *delta;
		LayoutFit fit;
	} last[2];
};

/* Makes an empty batch for a stream, in a context of its own. */
Batch *
derive_batch_create(ChangeStream *stream)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_derive batch",
												  ALLOCSET_DEFAULT_SIZES);
	Batch *batch = MemoryContextAllocZero(context, sizeof(Batch));

	batch->context = context;
	batch->stream = stream;
	dlist_init(&batch->kept);
	return batch;
}

/* ---------- kept transactions ---------- */

/* Starts to keep a transaction, at the end of the list. */
static KeptTransaction *
keep_begin(Batch *batch, const Origin *origin)
{
	MemoryContext context = AllocSetContextCreate(
		batch->context, "pg_derive kept transaction", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	KeptTransaction *kept = palloc0(sizeof(KeptTransaction));

	kept->origin = *origin;
	kept->context = context;
	kept->memory.data = palloc(KEEP_FIRST);
	kept->memory.maxlen = KEEP_FIRST;
	dlist_push_tail(&batch->kept, &kept->node);
	MemoryContextSwitchTo(old);
	return kept;
}

/* Appends bytes to a file; throws if the disk is full. */
static void
file_write(BufFile *file, const void *data, Size len)
{
	BufFileWrite(file, unconstify(void *, data), len);
}

/* Keeps one record of a transaction, moving it to a file once it is large. */
static void
keep_record(KeptTransaction *kept, const StreamRecord *record)
{
	Size len = record->raw_len;

	if (kept->file == NULL && kept->memory.len + len + sizeof(Size) > KEEP_IN_MEMORY)
	{
		MemoryContext old = MemoryContextSwitchTo(kept->context);
		ResourceOwner owner = CurrentResourceOwner;

		CurrentResourceOwner = NULL;
		kept->file = BufFileCreateTemp(true);
		file_write(kept->file, kept->memory.data, kept->memory.len);
		CurrentResourceOwner = owner;
		MemoryContextSwitchTo(old);
		pfree(kept->memory.data);
		kept->memory.data = NULL;
	}
	if (kept->file != NULL)
	{
		file_write(kept->file, &len, sizeof(Size));
		file_write(kept->file, record->raw, len);
		kept->bytes += len + sizeof(Size);
	}
	else
	{
		appendBinaryStringInfo(&kept->memory, (char *) &len, sizeof(Size));
		appendBinaryStringInfo(&kept->memory, record->raw, len);
	}
	kept->nrecords++;
}

/* Counts what a kept transaction takes, which is there as a whole now. */
static void
keep_end(Batch *batch, KeptTransaction *kept)
{
	kept->bytes += MemoryContextMemAllocated(kept->context, true);
	batch->kept_bytes += kept->bytes;
}

/* Forgets a kept transaction. */
static void
keep_drop(Batch *batch, KeptTransaction *kept)
{
	batch->kept_bytes -= kept->bytes;
	dlist_delete(&kept->node);
	if (kept->file != NULL)
		BufFileClose(kept->file);
	MemoryContextDelete(kept->context);
}

/* Reads exactly len bytes at a kept transaction's position. */
static void
keep_read(KeptTransaction *kept, Size *position, void *data, Size len)
{
	if (kept->file == NULL)
		memcpy(data, kept->memory.data + *position, len);
	else if (BufFileRead(kept->file, data, len) != len)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read a kept transaction's temporary file")));
	*position += len;
}

/* ---------- rows into deltas ---------- */

/* Decides how rows of a layout become rows of a delta. */
static LayoutFit
layout_fit(const RowLayout *layout, const SourceDelta *delta)
{
	bool same = layout->ncolumns == delta->ncolumns;

	for (int i = 0; i < delta->ncolumns; i++)
	{
		bool found = false;

		for (int j = 0; j < layout->ncolumns && !found; j++)
		{
			Form_pg_attribute theirs = TupleDescAttr(layout->desc, j + 1);
			Form_pg_attribute ours = TupleDescAttr(delta->desc, i + 1);

			if (layout->attnums[j] != delta->attnums[i])
				continue;
			if (theirs->atttypid != ours->atttypid ||
				theirs->atttypmod != ours->atttypmod)
				return FIT_NONE;
			found = true;
			same &= i == j;
		}
		same &= found;
	}
	return same ? FIT_SAME : FIT_CONVERT;
}

/*
 * Adds a row whose layout has other columns than the delta.  A column that the
 * layout lacks becomes NULL: it belongs to a view which was built after this
 * row's transaction, and which therefore does not get this row.
 */
static void
add_converted(SourceDelta *delta, const RowLayout *layout, MinimalTuple row)
{
	int natts = layout->ncolumns + 1;
	Datum *in = palloc(sizeof(Datum) * natts);
	bool *in_null = palloc(natts);
	Datum *out = palloc0(sizeof(Datum) * (delta->ncolumns + 1));
	bool *out_null = palloc(delta->ncolumns + 1);
	HeapTupleData tuple;
	MinimalTuple converted;

	tuple.t_len = row->t_len + MINIMAL_TUPLE_OFFSET;
	tuple.t_data = (HeapTupleHeader) ((char *) row - MINIMAL_TUPLE_OFFSET);
	heap_deform_tuple(&tuple, layout->desc, in, in_null);

	memset(out_null, true, delta->ncolumns + 1);
	out[0] = in[0];
	out_null[0] = false;
	for (int i = 0; i < delta->ncolumns; i++)
		for (int j = 0; j < layout->ncolumns; j++)
			if (layout->attnums[j] == delta->attnums[i])
			{
				out[i + 1] = in[j + 1];
				out_null[i + 1] = in_null[j + 1];
			}
	converted = derive_compat_form_minimal_tuple(delta->desc, out, out_null);
	derive_delta_add_row(delta, converted);
	pfree(converted);
	pfree(in);
	pfree(in_null);
	pfree(out);
	pfree(out_null);
}

/* Adds one signed row, which may be absent, to a delta. */
static void
add_row(SourceDelta *delta, const RowLayout *layout, LayoutFit fit, MinimalTuple row)
{
	if (row == NULL)
		return;
	if (fit == FIT_SAME)
		derive_delta_add_row(delta, row);
	else
		add_converted(delta, layout, row);
}

/*
 * Declares that a source's deltas, of rows or of keys, are incomplete; who reads them is
 * recomputed.
 */
static void
mark_lost(Cohort *cohort, Oid source, bool keys_only, const char *reason)
{
	for (int only = 0; only <= 1; only++)
	{
		SourceDelta *delta = derive_delta_find(&cohort->deltas, source, only, keys_only);

		if (delta == NULL)
			continue;
		delta->lost = true;
		delta->lost_reason = reason;
	}
}

/* Gives a changed row to one of its source's deltas, if that is wanted. */
static void
feed_change(Batch *batch, Cohort *cohort, const StreamRecord *record, bool only)
{
	SourceDelta *delta = derive_delta_find(&cohort->deltas, record->layout->source, only,
										   record->keys_only);

	if (delta == NULL)
		return;
	if (batch->last[only].layout != record->layout || batch->last[only].delta != delta)
	{
		batch->last[only].layout = record->layout;
		batch->last[only].delta = delta;
		batch->last[only].fit = layout_fit(record->layout, delta);
	}
	if (batch->last[only].fit == FIT_NONE)
		mark_lost(cohort, delta->relid, delta->keys_only, "the type of a column changed");
	if (delta->lost)
		return;
	add_row(delta, record->layout, batch->last[only].fit, record->old_row);
	add_row(delta, record->layout, batch->last[only].fit, record->new_row);
}

/* Gives one record to a cohort. */
static void
feed(Batch *batch, Cohort *cohort, const StreamRecord *record)
{
	switch (record->kind)
	{
		case STREAM_CHANGE:
			feed_change(batch, cohort, record, false);
			if (!record->layout->inherited && !record->keys_only)
				feed_change(batch, cohort, record, true);
			break;
		case STREAM_TRUNCATE:
			for (int keys_only = 0; keys_only <= 1; keys_only++)
				mark_lost(cohort, record->source, keys_only, "it was truncated");
			break;
		case STREAM_LOST:
			mark_lost(cohort, record->source, record->keys_only,
					  pstrdup(record->reason)); /* until the tick ends */
			break;
		default:
			break;
	}
}

/* ---------- one tick ---------- */

/* What happens to one source transaction in this tick. */
typedef struct Route
{
	List *takers;	  /* active cohorts that take it now */
	CommitSink *sink; /* takes it now, or NULL */
	bool keep;
	bool deferred;
} Route;

/* Decides whether the sink takes a transaction; transactions come in order of commits. */
static void
route_to_sink(Route *route, CommitSink *sink, const Origin *origin)
{
	if (!sink->wanted)
	{
		route->sink = route->deferred ? NULL : sink;
		return;
	}
	if (origin->commit_lsn < Min(sink->from, sink->behind))
		return;
	sink->blocked |= route->deferred;
	route->keep |= sink->blocked || origin->commit_lsn >= sink->behind;
	if (sink->blocked)
		return;
	if (origin->commit_lsn >= sink->from)
		route->sink = sink;
	sink->cursor = Max(sink->cursor, origin->commit_lsn + 1);
}

/* Decides who takes a transaction and whether it must be kept. */
static Route
route_transaction(List *cohorts, CommitSink *sink, const Frontier *next,
				  const Origin *origin)
{
	Route route = {0};
	uint64 xid = origin->xid;
	ListCell *lc;

	route.deferred = !derive_frontier_contains(next, xid);
	route_to_sink(&route, sink, origin);
	foreach (lc, cohorts)
	{
		Cohort *cohort = lfirst(lc);

		if (derive_frontier_contains(cohort->frontier, xid))
			continue;
		if (route.deferred || !cohort->active)
			route.keep = true;
		else
			route.takers = lappend(route.takers, cohort);
	}
	return route;
}

/* Gives one record to all takers. */
static void
feed_all(Batch *batch, const Route *route, const Origin *origin,
		 const StreamRecord *record)
{
	ListCell *lc;

	if (route->sink != NULL)
		route->sink->take(route->sink, origin, record);
	foreach (lc, route->takers)
		feed(batch, lfirst(lc), record);
}

/* Offers the transactions kept from earlier ticks again. */
static void
replay_kept(Batch *batch, List *cohorts, CommitSink *sink, const Frontier *next,
			BatchStats *stats)
{
	dlist_iter iter;

	dlist_foreach (iter, &batch->kept)
	{
		KeptTransaction *kept = dlist_container(KeptTransaction, node, iter.cur);
		Route route = route_transaction(cohorts, sink, next, &kept->origin);
		Size position = 0;
		char *buffer = NULL;
		Size room = 0;

		kept->deferred = route.deferred;
		if (route.deferred)
			stats->deferred++;
		if (route.takers == NIL && route.sink == NULL)
			continue;
		if (kept->file != NULL && BufFileSeek(kept->file, 0, 0, SEEK_SET) != 0)
			elog(ERROR, "could not rewind a kept transaction");
		for (int64 i = 0; i < kept->nrecords; i++)
		{
			StreamRecord record;
			Size len;

			keep_read(kept, &position, &len, sizeof(Size));
			if (len > room)
			{
				if (buffer)
					pfree(buffer);
				room = Max(len, 8192);
				buffer = palloc(room);
			}
			keep_read(kept, &position, buffer, len);
			derive_stream_decode(batch->stream, buffer, len, &record);
			feed_all(batch, &route, &kept->origin, &record);
			stats->changes++;
		}
		if (buffer)
			pfree(buffer);
		stats->transactions++;
	}
}

/* Reads one transaction from the stream, whose BEGIN has just been read. */
static void
read_transaction(Batch *batch, List *cohorts, CommitSink *sink, const Frontier *next,
				 const StreamRecord *begin, BatchStats *stats)
{
	Origin origin = {derive_frontier_widen(begin->xid), begin->commit_lsn,
					 begin->commit_time};
	Route route = route_transaction(cohorts, sink, next, &origin);
	KeptTransaction *kept = route.keep ? keep_begin(batch, &origin) : NULL;
	StreamRecord record;

	if (kept)
		kept->deferred = route.deferred;
	if (route.deferred)
		stats->deferred++;
	if (route.takers != NIL || route.sink != NULL)
		stats->transactions++;
	for (;;)
	{
		derive_stream_next(batch->stream, &record, true);
		if (record.kind == STREAM_COMMIT)
			break;
		feed_all(batch, &route, &origin, &record);
		if (route.takers != NIL || route.sink != NULL)
			stats->changes++;
		if (kept)
			keep_record(kept, &record);
	}
	if (kept)
		keep_end(batch, kept);
	list_free(route.takers);
}

/* Throws if somebody reads now who waits for what was forgotten; if nobody does, that is over. */
static void
recall_forgotten(Batch *batch, const CommitSink *sink)
{
	if (XLogRecPtrIsInvalid(batch->forgotten_to))
		return;
	if (sink->from <= batch->forgotten_to)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the log is read once more for an outbox that was behind"),
						errdetail("The pipeline starts again, with it.")));
	if (sink->behind > batch->forgotten_to)
		batch->forgotten_from = batch->forgotten_to = InvalidXLogRecPtr;
}

void
derive_batch_collect(Batch *batch, List *cohorts, CommitSink *sink, const Frontier *next,
					 XLogRecPtr target, BatchStats *stats)
{
	uint64 request;
	StreamRecord record;

	recall_forgotten(batch, sink);
	request = derive_stream_request(batch->stream, target);
	memset(stats, 0, sizeof(BatchStats));
	memset(batch->last, 0, sizeof(batch->last));
	replay_kept(batch, cohorts, sink, next, stats);
	for (;;)
	{
		derive_stream_next(batch->stream, &record, true);
		if (record.kind == STREAM_BEGIN)
			read_transaction(batch, cohorts, sink, next, &record, stats);
		else if (record.kind == STREAM_PROGRESS && record.request == request)
			break;
	}
	stats->decoded_lsn = record.lsn;
	if (!sink->blocked)
		sink->cursor = Max(sink->cursor, record.lsn);
	stats->interest_version = record.interest_version;
}

void
derive_batch_prune(Batch *batch, List *cohorts, CommitSink *sink)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &batch->kept)
	{
		KeptTransaction *kept = dlist_container(KeptTransaction, node, iter.cur);
		bool needed = sink->wanted &&
					  kept->origin.commit_lsn >= Min(sink->cursor, sink->behind);
		ListCell *lc;

		foreach (lc, cohorts)
			needed |= !derive_frontier_contains(((Cohort *) lfirst(lc))->frontier,
												kept->origin.xid);
		if (!needed)
			keep_drop(batch, kept);
	}
}

void
derive_batch_forget(Batch *batch, List *cohorts, const CommitSink *sink)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &batch->kept)
	{
		KeptTransaction *kept = dlist_container(KeptTransaction, node, iter.cur);
		XLogRecPtr lsn = kept->origin.commit_lsn;
		bool needed = lsn >= sink->cursor;
		ListCell *lc;

		foreach (lc, cohorts)
			needed |= !derive_frontier_contains(((Cohort *) lfirst(lc))->frontier,
												kept->origin.xid);
		if (needed)
			continue;
		if (XLogRecPtrIsInvalid(batch->forgotten_to))
			batch->forgotten_from = batch->forgotten_to = lsn;
		batch->forgotten_from = Min(batch->forgotten_from, lsn);
		batch->forgotten_to = Max(batch->forgotten_to, lsn);
		keep_drop(batch, kept);
	}
}

XLogRecPtr
derive_batch_oldest_kept(Batch *batch, XLogRecPtr lsn)
{
	dlist_iter iter;

	if (!XLogRecPtrIsInvalid(batch->forgotten_to))
		lsn = Min(lsn, batch->forgotten_from);
	dlist_foreach (iter, &batch->kept)
		lsn = Min(lsn,
				  dlist_container(KeptTransaction, node, iter.cur)->origin.commit_lsn);
	return lsn;
}

XLogRecPtr
derive_batch_oldest_deferred(Batch *batch, XLogRecPtr lsn)
{
	dlist_iter iter;

	dlist_foreach (iter, &batch->kept)
	{
		KeptTransaction *kept = dlist_container(KeptTransaction, node, iter.cur);

		if (kept->deferred)
			lsn = Min(lsn, kept->origin.commit_lsn);
	}
	return lsn;
}

bool
derive_batch_has_kept(Batch *batch)
{
	return !dlist_is_empty(&batch->kept);
}

int64
derive_batch_kept_bytes(Batch *batch)
{
	return batch->kept_bytes;
}

TimestampTz
derive_batch_oldest_commit_time(Batch *batch)
{
	if (dlist_is_empty(&batch->kept))
		return 0;
	return dlist_container(KeptTransaction, node, dlist_head_node(&batch->kept))
		->origin.commit_time;
}
