/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  From transactions to the logs of outboxes.
 *
 * The batch hands over each transaction once, in the order of commits, and behind one
 * that is not visible yet none.  What concerns an outbox is put into its log
 * (event_log.c), which is written at the end of the tick (outbox_write.c).
 *
 * An event's id is made of where it comes from: server and database, outbox, commit LSN,
 * and its number among what the transaction has for this outbox.  So it does not
 * depend on how transactions are divided into ticks.
 *
 * Which changes are events: those that commit behind the message in the log by which the
 * outbox was created, and not by that very transaction.  If the message comes before the
 * catalog's row was read, it is read then and there: the tick's snapshot shows it.
 *
 * Each outbox has a cursor of its own.  One that is locked, whose source is, or that could
 * not be written stays behind: what it has not got is kept by the batch, and
 * bounds what the slot may confirm.  A derived view stays behind with its outbox,
 * since its delta cannot be had again.
 *
 * If the log was lost, every outbox gets a gap as its next event.
 *
 * Runs in the applier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/owner.h"
#include "catalog/hidden_parts.h"
#include "catalog/outbox_catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "catalog/processor_catalog.h"
#include "catalog/view_catalog.h"
#include "change/message.h"
#include "maintain/view_set.h"
#include "publish/emission.h"
#include "publish/outbox.h"
#include "publish/outbox_private.h"
#include "publish/partitions.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define PATIENCE 3 /* failures in a row that can be a passing matter, not a row's */

typedef struct OutboxPublisher
{
	Publisher pub;
	MemoryContext context; /* lives as long as the process */
	MemoryContext catalog_context;
	List *outboxes;	  /* of Outbox */
	XLogRecPtr start; /* this process made the slot, and its log begins here; or 0 */

	/* the transaction at hand */
	XLogRecPtr transaction;
	char *request; /* its request id, or NULL */
} OutboxPublisher;

/* ---------- the catalog ---------- */

/* Forgets an outbox's log and plans, which are bound to its source's columns. */
static void
forget_log(Outbox *outbox)
{
	derive_outbox_forget_plans(outbox);
	if (outbox->log != NULL)
		derive_event_log_free(outbox->log);
	outbox->log = NULL;
}

/* Forgets all outboxes. */
static void
forget_outboxes(OutboxPublisher *p)
{
	ListCell *lc;

	foreach (lc, p->outboxes)
		forget_log(lfirst(lc));
	p->outboxes = NIL;
	MemoryContextReset(p->catalog_context);
}

/* Makes an outbox that comes from a dump depend on its source and, if it has one, its handler. */
static void
tie(const CatalogOutbox *row)
{
	Oid handler = derive_catalog_find_handler(row->id);

	if (OidIsValid(row->source))
		derive_hidden_parts_tie_outbox(row->outbox, RelationRelationId, row->source);
	if (OidIsValid(handler))
		derive_hidden_parts_tie_outbox(row->outbox, ProcedureRelationId, handler);
}

/* Makes an outbox of its row and adds it; in catalog_context. */
static Outbox *
add_outbox(OutboxPublisher *p, const CatalogOutbox *row)
{
	Outbox *outbox = palloc0(sizeof(Outbox));

	outbox->row = *row;
	if (!row->ours)
		tie(row);
	if (!row->ours || (row->published != InvalidXLogRecPtr && row->published < p->start))
	{
		/* from elsewhere, or from before this pipeline's log began */
		outbox->row.gap = outbox->changed = true;
		outbox->row.published = p->start;
	}
	outbox->cursor = XLogRecPtrIsInvalid(outbox->row.published) ? p->pub.sink.cursor
																: outbox->row.published;
	p->outboxes = lappend(p->outboxes, outbox);
	return outbox;
}

/* Finds an outbox by its id. */
static Outbox *
find_outbox(OutboxPublisher *p, int64 id)
{
	ListCell *lc;

	foreach (lc, p->outboxes)
		if (((Outbox *) lfirst(lc))->row.id == id)
			return lfirst(lc);
	return NULL;
}

/*
 * Adds the outboxes of the catalog that are not known yet; the caller is connected to SPI
 * and has an active snapshot.  Returns whether there were any.
 */
static bool
add_new(OutboxPublisher *p)
{
	MemoryContext old = MemoryContextSwitchTo(p->catalog_context);
	List *rows = derive_catalog_read_outboxes();
	bool any = false;
	ListCell *lc;

	foreach (lc, rows)
	{
		CatalogOutbox *row = lfirst(lc);
		CatalogView *view = row->of_view ? derive_catalog_find_view(row->source) : NULL;
		Outbox *outbox;

		MemoryContextSwitchTo(p->catalog_context); /* SPI left another one */
		if (find_outbox(p, row->id) != NULL)
			continue;
		outbox = add_outbox(p, row);
		outbox->source_key = view != NULL ? list_copy(view->key) : NIL;
		any = true;
	}
	MemoryContextSwitchTo(p->catalog_context);
	MemoryContextSwitchTo(old);
	return any;
}

/* Reads the catalog, see publisher.h. */
static List *
read_catalog(Publisher *publisher)
{
	OutboxPublisher *p = (OutboxPublisher *) publisher;
	List *sources = NIL;
	ListCell *lc;

	forget_outboxes(p);
	add_new(p);
	derive_catalog_delete_positions();
	foreach (lc, p->outboxes)
		if (OidIsValid(((Outbox *) lfirst(lc))->row.source))
			sources = list_append_unique_oid(sources,
											 ((Outbox *) lfirst(lc))->row.source);
	return sources;
}

/* Notes that the log begins anew, see publisher.h. */
static void
lose(Publisher *publisher, XLogRecPtr start)
{
	OutboxPublisher *p = (OutboxPublisher *) publisher;
	ListCell *lc;

	p->start = start;
	publisher->sink.cursor = start;
	SPI_connect();
	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);

		outbox->cursor = outbox->row.published = start;
		outbox->row.gap = true;
		derive_catalog_write_outbox(&outbox->row);
	}
	SPI_finish();
}

/* ---------- locks ---------- */

/* Returns attnos of a table's primary key, in its order; takes no lock on the index. */
static List *
primary_key(Relation relation)
{
	List *key = NIL;
	HeapTuple tuple;
	Form_pg_index index;

	list_free(RelationGetIndexList(relation)); /* sets rd_pkindex */
	if (!OidIsValid(relation->rd_pkindex))
		return NIL;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(relation->rd_pkindex));
	if (!HeapTupleIsValid(tuple))
		return NIL;
	index = (Form_pg_index) GETSTRUCT(tuple);
	for (int i = 0; i < index->indnkeyatts; i++)
		key = lappend_int(key, index->indkey.values[i]);
	ReleaseSysCache(tuple);
	return key;
}

/* Sees to it that the log has the columns and the key of the source of now, which is locked. */
static void
renew_log(OutboxPublisher *p, Outbox *outbox)
{
	Oid source = outbox->row.source;

	if (OidIsValid(source))
	{
		Relation relation = table_open(source, AccessShareLock);
		List *key = outbox->row.of_view ? outbox->source_key : primary_key(relation);
		bool same = outbox->log != NULL && equal(key, outbox->source_key) &&
					equalTupleDescs(outbox->log->row_desc, RelationGetDescr(relation));

		table_close(relation, NoLock);
		if (!same)
			forget_log(outbox);
		if (!equal(key, outbox->source_key))
		{
			MemoryContext old = MemoryContextSwitchTo(p->catalog_context);

			list_free(outbox->source_key);
			outbox->source_key = list_copy(key);
			MemoryContextSwitchTo(old);
		}
	}
	if (outbox->log == NULL)
		outbox->log = derive_event_log_make(p->catalog_context, source);
}

/* Locks what an outbox needs in this tick, without waiting. */
static void
lock_outbox(OutboxPublisher *p, Outbox *outbox)
{
	Oid source = outbox->row.source;
	Oid open;

	outbox->usable = outbox->row.retry_at <= GetCurrentTimestamp() &&
					 derive_view_set_lock_now(outbox->row.outbox, RowExclusiveLock) &&
					 (!OidIsValid(source) ||
					  derive_view_set_lock_now(source, AccessShareLock));
	if (!outbox->usable)
		return;
	open = derive_partition_open(outbox->row.outbox);
	outbox->usable = !OidIsValid(open) ||
					 derive_view_set_lock_now(open, RowExclusiveLock);
	if (!outbox->usable)
		return;
	outbox->owner = derive_owner_of(outbox->row.outbox);
	renew_log(p, outbox);
	if (outbox->row.gap) /* whatever this tick has comes behind it */
	{
		Origin origin = {0, outbox->cursor - 1, GetCurrentTimestamp()};

		derive_event_log_reset(outbox->log);
		derive_event_log_add_gap(outbox->log, &origin);
	}
}

/* Says whether an outbox has been dropped, or is about to be forgotten for another reason. */
static bool
is_gone(const Outbox *outbox)
{
	return !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(outbox->row.outbox));
}

/* Takes the locks of a tick, see publisher.h. */
static void
begin(Publisher *publisher)
{
	OutboxPublisher *p = (OutboxPublisher *) publisher;
	CommitSink *sink = &publisher->sink;
	ListCell *lc;

	if (!sink->wanted) /* until now the cursor said nothing */
		foreach (lc, p->outboxes)
			sink->cursor = Min(sink->cursor, ((Outbox *) lfirst(lc))->cursor);
	sink->wanted = p->outboxes != NIL;
	sink->blocked = false;
	sink->from = sink->cursor;
	sink->behind = MaxXLogRecPtr;
	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);

		lock_outbox(p, outbox);
		if (outbox->usable)
			sink->from = Min(sink->from, outbox->cursor);
		else if (!is_gone(outbox))
			sink->behind = Min(sink->behind, outbox->cursor);
	}
}

/* Says whether a view must stay behind, see publisher.h. */
static bool
holds(Publisher *publisher, Oid view)
{
	OutboxPublisher *p = (OutboxPublisher *) publisher;
	ListCell *lc;

	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);

		if (outbox->row.of_view && outbox->row.source == view && !outbox->usable &&
			!is_gone(outbox))
			return true;
	}
	return false;
}

/* ---------- taking ---------- */

/* Takes an emission. */
static void
take_emission(OutboxPublisher *p, const Origin *origin, const StreamRecord *record)
{
	Emission emission;
	Outbox *outbox;

	derive_emission_read(record->content, &emission);
	outbox = find_outbox(p, emission.outbox);
	if (outbox != NULL && outbox->usable && origin->commit_lsn >= outbox->cursor)
		derive_event_log_add_emission(outbox->log, origin, p->request, &emission);
}

/*
 * Learns of an outbox that the catalog had not when it was last read.  The transaction that
 * made it is visible, but may still be about to release its locks.  Of a view, this tick
 * has begun without noting the delta.
 */
static void
take_announcement(OutboxPublisher *p, const Origin *origin, const StreamRecord *record)
{
	OutboxAnnouncement announcement;
	Outbox *outbox;

	memcpy(&announcement, record->content, sizeof(announcement));
	if (find_outbox(p, announcement.outbox) != NULL)
		return;
	SPI_connect();
	add_new(p);
	SPI_finish();
	outbox = find_outbox(p, announcement.outbox);
	if (outbox == NULL)
		return; /* it was dropped */
	XactLockTableWait((TransactionId) origin->xid, NULL, NULL, XLTW_None);
	lock_outbox(p, outbox);
	if (outbox->row.of_view || (!outbox->usable && !is_gone(outbox)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("an outbox was created while a tick began"),
				 errdetail("The pipeline starts again, with it from the beginning.")));
	if (!p->pub.sink.wanted)
	{
		p->pub.sink.wanted = true;
		p->pub.sink.cursor = origin->commit_lsn + 1;
	}
	p->pub.sink.from = Min(p->pub.sink.from, outbox->cursor);
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
		take_announcement(p, origin, record);
}

/*
 * Says whether a transaction is the one that created an outbox.  It comes before all others
 * whose changes are events, and its id says nothing in another server, where the outbox begins
 * with a gap.
 */
static bool
is_creator(const Outbox *outbox, const Origin *origin)
{
	return outbox->row.ours && outbox->row.position == 0 &&
		   origin->xid == outbox->row.created_xid;
}

/* Takes a record of a transaction, see batch.h. */
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
	if (record->keys_only)
		return;
	source = record->kind == STREAM_CHANGE ? record->layout->source : record->source;
	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);

		if (outbox->row.source == source && !outbox->row.of_view && outbox->usable &&
			origin->commit_lsn >= outbox->cursor && !is_creator(outbox, origin))
			derive_event_log_add_change(outbox->log, origin, p->request, record);
	}
}

/* ---------- writing ---------- */

/* Finds the delta of a view in whichever cohort it is. */
static SourceDelta *
find_delta(List *cohorts, Oid view)
{
	ListCell *lc;

	foreach (lc, cohorts)
	{
		SourceDelta *delta = derive_delta_find(&((Cohort *) lfirst(lc))->deltas, view,
											   false, false);

		if (delta != NULL && delta->nrows > 0)
			return delta;
	}
	return NULL;
}

/* Brings an outbox to where the pipeline is; returns the number of events. */
static int64
write_outbox(OutboxPublisher *p, Outbox *outbox, List *cohorts, XLogRecPtr lsn)
{
	SourceDelta *delta = NULL;
	int64 written;

	if (outbox->row.of_view)
		delta = find_delta(cohorts, outbox->row.source);
	outbox->patient = outbox->row.failures < PATIENCE;
	if (!XLogRecPtrIsInvalid(outbox->row.published) || outbox->row.retry_at != 0)
	{
		outbox->row.published = InvalidXLogRecPtr;
		outbox->row.retry_at = 0;
		outbox->row.failures = 0;
		outbox->row.reason = NULL;
		outbox->changed = p->pub.moved = true;
	}
	written = derive_outbox_write(outbox, delta, lsn);
	outbox->cursor = Max(outbox->cursor, p->pub.sink.cursor);
	derive_partitions_keep(outbox);
	return written;
}

/* Notes that an outbox stays behind. */
static void
leave_behind(OutboxPublisher *p, Outbox *outbox)
{
	if (!XLogRecPtrIsInvalid(outbox->row.published))
		return;
	outbox->row.published = outbox->cursor;
	p->pub.moved = true;
	SPI_connect();
	derive_catalog_write_outbox(&outbox->row);
	SPI_finish();
}

/* Writes what was taken, see publisher.h. */
static int64
write_events(Publisher *publisher, List *cohorts, XLogRecPtr lsn)
{
	OutboxPublisher *p = (OutboxPublisher *) publisher;
	int64 written = 0;
	ListCell *lc;

	publisher->moved = false;
	foreach (lc, p->outboxes)
	{
		Outbox *outbox = lfirst(lc);

		if (outbox->usable)
			written += write_outbox(p, outbox, cohorts, lsn);
		else
			leave_behind(p, outbox);
		if (outbox->log != NULL)
			derive_event_log_reset(outbox->log);
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
	p->pub.holds = holds;
	p->pub.write = write_events;
	p->pub.lose = lose;
	return &p->pub;
}
