/*-------------------------------------------------------------------------
 *
 * plugin.c
 *	  The output plugin: decoded changes become records of the change stream.
 *
 * In any other process than our own decoder the library is an output plugin for consumers
 * outside: see external.c, which then has all the callbacks.
 *
 * Runs in the decoder, called by the reorder buffer once per transaction, at its
 * commit, under its historic snapshot.  BEGIN is sent with the first record of
 * interest, so other transactions leave no trace.
 *
 * A transaction that is too large for the reorder buffer's memory comes in pieces while it
 * is in progress ("streams").  Its records go to a spool (spool.c) and from there, when it
 * commits, to the queue, so that the applier sees no difference.  If the interest
 * changed in between, the sources of now are LOST in it.
 *
 * A row travels as the source's wanted columns only.  Where they come from:
 *  - the new row of an insert or update: the new tuple.  A TOAST value that was
 *    written with it arrives as an indirect pointer and is fetched.  A pointer to a
 *    value on disk means "unchanged by this update": the old tuple has it;
 *  - the old row of an update or delete: the old tuple.  With REPLICA IDENTITY FULL
 *    it is complete and flattened.  Otherwise it holds the identity's columns, and an
 *    update that left these alone has none: then an update is of no interest if all
 *    wanted columns belong to the identity.
 * Where views take keys instead, a change is the key that the row had and the one that it
 * has.  The identity must hold the key's columns, and then it says both: an update
 * without an old tuple has left the key alone.
 * Whatever cannot be had makes a LOST record, once per source and transaction, and
 * the rest of that transaction's changes of that source is left out.
 *
 * An update that changes no wanted column is dropped.  Rows of a table rewrite
 * (ALTER TABLE) are asked for only to notice the rewrite: it is a LOST, since
 * nothing says how the old rows became the new ones.
 *
 * The request that a transaction serves is told by its last message (base/request_id.c) and sent
 * first, behind BEGIN, so that the changes behind it can be given its id.  It is found at
 * the end of the transaction's list of changes.  Where that is not all in memory, because
 * the transaction was written to disk before it could be taken in pieces, its records go to a
 * spool, too, until the message has passed by.
 *
 * Memory: a context that is reset after each change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/plugin.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/step.h"
#include "capture/external.h"
#include "capture/spool.h"
#include "change/message.h"
#include "change/request.h"
#include "replication/output_plugin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Earlier commits do not wait while so many changes are decoded. */
#define LARGE_TRANSACTION 1000

/* Old and new row of one change must fit into one message of the queue. */
#define MAX_ROWS_SIZE (MaxAllocSize / 2)

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *cb);

/* The slot's statistics are reported each so many transactions, and before waiting. */
#define STATISTICS_INTERVAL 256

/* Where this process's changes go; NULL outside our own decoder. */
static DecoderQueue *queue = NULL;
static RelationMap *map = NULL;
static PartitionWatch *watch = NULL;
static const uint8 *secret = NULL; /* of our messages */

static MemoryContext change_context = NULL;
static bool begun = false;	/* BEGIN of this transaction has been sent */
static Spool *spool = NULL; /* within a piece of a large transaction: where it goes */
static TransactionId record_xid; /* (sub)transaction of the change at hand */
static RequestId request;		 /* of the transaction at hand */

/* Statistics held back. */
static int64 held_transactions = 0;
static int64 held_bytes = 0;
static int held_times = 0;

/* One decoded change of one relation. */
typedef struct RowChange
{
	MapEntry *entry;
	HeapTuple old_tuple; /* NULL: none was logged */
	HeapTuple new_tuple;
	bool has_old; /* update or delete */
	bool has_new; /* insert or update */
} RowChange;

void
derive_plugin_use(DecoderQueue *to, RelationMap *relations, PartitionWatch *partitions,
				  const uint8 *key)
{
	queue = to;
	map = relations;
	watch = partitions;
	secret = key;
}

/* ---------- callbacks that frame a transaction ---------- */

/* Asks for rewrites. */
static void
plugin_startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = true;
	change_context = AllocSetContextCreate(ctx->context, "pg_derive change",
										   ALLOCSET_DEFAULT_SIZES);
}

/* Starts a transaction or a piece of one, without telling anybody yet. */
static void
start_transaction(ReorderBufferTXN *txn)
{
	spool = NULL; /* an error may have cut a piece short */
	begun = false;
	request.len = 0;
	if (txn->nentries > LARGE_TRANSACTION)
		derive_queue_flush_commits(queue);
	derive_map_begin(map);
}

/* Starts a transaction that has committed. */
static void
plugin_begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	start_transaction(txn);
	if (!derive_request_find(txn, &request))
		spool = derive_spool_open(txn->xid, derive_map_interest_version(map));
}

/* Returns where the records of the change at hand go. */
static WireBuffer *
records(void)
{
	return spool ? derive_spool_buffer(spool, record_xid) : &queue->buffer;
}

/* Sends what has been put, if it is enough. */
static void
records_full(void)
{
	if (spool)
		derive_spool_full(spool);
	else
		derive_queue_full(queue);
}

/* Sends BEGIN if this transaction's has not been sent and is not to come from a spool. */
static void
send_begin(ReorderBufferTXN *txn)
{
	if (begun || spool)
		return;
	derive_wire_put_begin(&queue->buffer, txn->xid, txn->final_lsn, txn->end_lsn,
						  txn->xact_time.commit_time);
	if (request.len > 0)
		derive_wire_put_message(&queue->buffer, DERIVE_MESSAGE_REQUEST, request.text,
								request.len);
	begun = true;
}

/* Sends LOST for a source's rows or keys, unless it has been sent in this transaction. */
static void
send_lost(ReorderBufferTXN *txn, MapSource *source, bool keys_only, const char *reason)
{
	uint64 *lost_in = keys_only ? &source->keys_lost_in : &source->lost_in;

	if (*lost_in == derive_map_transaction(map))
		return;
	*lost_in = derive_map_transaction(map);
	send_begin(txn);
	derive_wire_put_lost(records(), source->source, keys_only, reason);
}

/* Sends LOST for all that is wanted of a source. */
static void
send_all_lost(ReorderBufferTXN *txn, MapSource *source, const char *reason)
{
	if (source->rows)
		send_lost(txn, source, false, reason);
	if (source->keys != NULL)
		send_lost(txn, source, true, reason);
}

/* Sends COMMIT if BEGIN has been sent. */
static void
end_transaction(ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	if (begun)
	{
		DERIVE_STEP("decoder-commit");
		derive_wire_put_commit(&queue->buffer, txn->xid, commit_lsn, txn->end_lsn,
							   txn->xact_time.commit_time);
	}
	derive_queue_transaction(queue, begun);
	begun = false;
}

/* Gives back the statistics held back, for the server to report. */
static void
release_statistics(ReorderBuffer *buffer)
{
	buffer->totalTxns += held_transactions;
	buffer->totalBytes += held_bytes;
	held_transactions = 0;
	held_bytes = 0;
	held_times = 0;
}

/* Holds statistics back: the server would report them, which costs as much as the row. */
static void
hold_statistics(ReorderBuffer *buffer)
{
	held_transactions += buffer->totalTxns;
	held_bytes += buffer->totalBytes;
	buffer->totalTxns = 0;
	buffer->totalBytes = 0;
	if (++held_times >= STATISTICS_INTERVAL)
		release_statistics(buffer);
}

/* Reports the slot's statistics up to now. */
void
derive_plugin_report_statistics(LogicalDecodingContext *ctx)
{
	if (held_times == 0)
		return;
	release_statistics(ctx->reorder);
	UpdateDecodingStats(ctx);
}

/* Sends BEGIN and what a spool holds, and closes it. */
static void
send_spool(ReorderBufferTXN *txn, Spool *filled)
{
	spool = NULL;
	if (!derive_spool_is_empty(filled))
	{
		request = *derive_spool_request(filled);
		derive_queue_flush_commits(queue);
		send_begin(txn);
		derive_spool_send(filled, queue);
	}
	derive_spool_close(filled);
}

/* Ends a transaction: partitions that came or went, then COMMIT. */
static void
plugin_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	MemoryContext old = MemoryContextSwitchTo(change_context);
	ListCell *lc;

	foreach (lc, derive_watch_commit(watch, map, txn, NULL))
		send_all_lost(txn, lfirst(lc),
					  "a table below it was attached, detached or dropped");
	MemoryContextSwitchTo(old);
	MemoryContextReset(change_context);
	if (spool)
		send_spool(txn, spool);
	end_transaction(txn, commit_lsn);
	hold_statistics(ctx->reorder);
}

/* ---------- rows ---------- */

/* Takes a tuple apart, up to the last attribute of interest. */
static void
deform(MapEntry *entry, HeapTuple tuple, TupleTableSlot *slot)
{
	ExecStoreHeapTuple(tuple, slot, false);
	if (entry->natts > 0)
		slot_getsomeattrs(slot, entry->natts);
}

/*
 * Makes an attribute of the new tuple independent of its table's TOAST relation.
 * Returns false if the value is not at hand.
 */
static bool
flatten_new(RowChange *change, int i)
{
	TupleTableSlot *old_row = change->entry->old_slot;
	TupleTableSlot *new_row = change->entry->new_slot;
	struct varlena *value;

	if (new_row->tts_isnull[i] || TupleDescAttr(change->entry->desc, i)->attlen != -1)
		return true;
	value = (struct varlena *) DatumGetPointer(new_row->tts_values[i]);
	if (!VARATT_IS_EXTERNAL(value))
		return true;
	if (!VARATT_IS_EXTERNAL_ONDISK(value))
	{
		new_row->tts_values[i] = PointerGetDatum(detoast_external_attr(value));
		return true;
	}
	/* unchanged; a key-only old tuple has NULL for what it does not hold */
	if (change->old_tuple == NULL || old_row->tts_isnull[i])
		return false;
	new_row->tts_values[i] = old_row->tts_values[i];
	return true;
}

/* Flattens the attributes of the new tuple that a feed wants; false: one is missing. */
static bool
flatten_feed(RowChange *change, const MapFeed *feed)
{
	if (!HeapTupleHasExternal(change->new_tuple))
		return true;
	for (int i = 0; i < feed->layout->layout.ncolumns; i++)
		if (!flatten_new(change, feed->attnums[i] - 1))
			return false;
	return true;
}

/* Returns true if an update leaves all columns that a feed wants as they were. */
static bool
is_unchanged(const MapEntry *entry, const MapFeed *feed)
{
	const TupleTableSlot *old_row = entry->old_slot;
	const TupleTableSlot *new_row = entry->new_slot;

	for (int i = 0; i < feed->layout->layout.ncolumns; i++)
	{
		int at = feed->attnums[i] - 1;
		Form_pg_attribute att = TupleDescAttr(entry->desc, at);

		if (old_row->tts_isnull[at] != new_row->tts_isnull[at])
			return false;
		if (old_row->tts_isnull[at] || old_row->tts_values[at] == new_row->tts_values[at])
			continue;
		if (!datum_image_eq(old_row->tts_values[at], new_row->tts_values[at],
							att->attbyval, att->attlen))
			return false;
	}
	return true;
}

/* Forms the row that a feed's source gets of this one. */
static MinimalTuple
form_row(const MapFeed *feed, int sign, const TupleTableSlot *row)
{
	int ncolumns = feed->layout->layout.ncolumns;
	Datum *row_values = palloc(sizeof(Datum) * (ncolumns + 1));
	bool *row_isnull = palloc(ncolumns + 1);

	row_values[0] = Int32GetDatum(sign);
	row_isnull[0] = false;
	for (int i = 0; i < ncolumns; i++)
	{
		row_values[i + 1] = row->tts_values[feed->attnums[i] - 1];
		row_isnull[i + 1] = row->tts_isnull[feed->attnums[i] - 1];
	}
	return derive_compat_form_minimal_tuple(feed->layout->layout.desc, row_values,
											row_isnull);
}

/* Returns the bytes that a feed's columns of one row take. */
static Size
row_size(const MapEntry *entry, const MapFeed *feed, const TupleTableSlot *row)
{
	Size size = 0;

	for (int i = 0; i < feed->layout->layout.ncolumns; i++)
	{
		int at = feed->attnums[i] - 1;

		if (!row->tts_isnull[at] && TupleDescAttr(entry->desc, at)->attlen == -1)
			size += VARSIZE_ANY(DatumGetPointer(row->tts_values[at]));
	}
	return size;
}

/* Returns true if the rows of a feed are too large for a message; cheap for ordinary ones. */
static bool
is_too_large(const RowChange *change, const MapFeed *feed)
{
	const MapEntry *entry = change->entry;
	Size size = 0;

	if ((change->old_tuple == NULL || change->old_tuple->t_len < MAX_ROWS_SIZE / 4) &&
		(change->new_tuple == NULL || !HeapTupleHasExternal(change->new_tuple)))
		return false;
	if (change->has_old)
		size += row_size(entry, feed, entry->old_slot);
	if (change->has_new)
		size += row_size(entry, feed, entry->new_slot);
	return size > MAX_ROWS_SIZE;
}

/* Returns true if a column of the key that a feed wants is NULL, before or since. */
static bool
has_null_key(const RowChange *change, const MapFeed *feed)
{
	for (int i = 0; i < feed->layout->layout.ncolumns; i++)
	{
		int at = feed->attnums[i] - 1;

		if ((change->old_tuple != NULL && change->entry->old_slot->tts_isnull[at]) ||
			(change->new_tuple != NULL && change->entry->new_slot->tts_isnull[at]))
			return true;
	}
	return false;
}

/* Returns why a feed cannot get this change, or NULL. */
static const char *
why_lost(RowChange *change, const MapFeed *feed)
{
	if (feed->broken)
		return feed->broken;
	if (change->has_new && change->new_tuple == NULL)
		return "a new row was not logged";
	if (change->has_old && !change->entry->identity_full && !feed->covered)
		return "its replica identity does not hold all columns that a view reads";
	if (change->has_old && change->old_tuple == NULL &&
		feed->layout->layout.ncolumns > 0 && !(feed->keys_only && change->has_new))
		return "an old row was not logged";
	if (feed->keys_only && has_null_key(change, feed))
		return "a column of the key that a view reads is NULL";
	if (change->has_new && !flatten_feed(change, feed))
		return "an out-of-line value was not logged";
	if (is_too_large(change, feed))
		return "a row is too large";
	return NULL;
}

/* Returns true if a feed need not hear of this change. */
static bool
is_irrelevant(const RowChange *change, const MapFeed *feed)
{
	uint64 transaction = derive_map_transaction(map);

	if (feed->keys_only) /* what else changed of the row is not known here */
		return feed->source->keys_lost_in == transaction;
	if (feed->source->lost_in == transaction && !feed->source->every)
		return true;
	/* the identity, with all that is wanted, was left alone */
	return change->has_old && change->has_new && change->old_tuple == NULL &&
		   feed->covered && !feed->broken && !feed->source->moves;
}

/* Forms what a feed's source gets of a change, as far as there is something. */
static void
form_rows(RowChange *change, const MapFeed *feed, MinimalTuple *old_row,
		  MinimalTuple *new_row)
{
	MapEntry *entry = change->entry;
	bool has_old = change->has_old;

	if (feed->keys_only)
		has_old = change->old_tuple != NULL &&
				  !(change->has_new && is_unchanged(entry, feed));
	*old_row = has_old ? form_row(feed, feed->keys_only ? 1 : -1, entry->old_slot) : NULL;
	*new_row = change->has_new ? form_row(feed, 1, entry->new_slot) : NULL;
}

/* Sends one change to one source. */
static void
send_change(ReorderBufferTXN *txn, RowChange *change, MapFeed *feed)
{
	MinimalTuple old_row;
	MinimalTuple new_row;
	const char *lost;

	if (is_irrelevant(change, feed))
		return;
	lost = why_lost(change, feed);
	if (lost)
	{
		if (feed->source->every && !feed->keys_only) /* each one that is missing counts */
			feed->source->lost_in = 0;
		send_lost(txn, feed->source, feed->keys_only, lost);
		return;
	}
	if (change->has_old && change->has_new && !feed->source->moves && !feed->keys_only &&
		is_unchanged(change->entry, feed))
		return;
	form_rows(change, feed, &old_row, &new_row);

	send_begin(txn);
	if (!feed->layout->sent)
	{
		derive_wire_put_layout(&queue->buffer, &feed->layout->layout);
		feed->layout->sent = true;
	}
	derive_wire_put_change(records(), &feed->layout->layout, old_row, new_row);
}

/* Reads tuples and kind out of a decoded change. */
static void
read_change(RowChange *row, MapEntry *entry, ReorderBufferChange *change)
{
	memset(row, 0, sizeof(RowChange));
	row->entry = entry;
	row->has_old = change->action != REORDER_BUFFER_CHANGE_INSERT;
	row->has_new = change->action != REORDER_BUFFER_CHANGE_DELETE;
	if (row->has_old)
		row->old_tuple = derive_compat_change_tuple(change->data.tp.oldtuple);
	if (row->has_new)
		row->new_tuple = derive_compat_change_tuple(change->data.tp.newtuple);
	if (row->old_tuple)
		deform(entry, row->old_tuple, entry->old_slot);
	if (row->new_tuple)
		deform(entry, row->new_tuple, entry->new_slot);
}

/* Declares the sources of a table lost whose heap is being rewritten. */
static void
table_rewritten(ReorderBufferTXN *txn, Oid table)
{
	Relation rel = RelationIdGetRelation(table);
	MapEntry *entry;

	if (!RelationIsValid(rel))
		return;
	entry = derive_map_lookup(map, rel);
	for (int i = 0; i < entry->nfeeds; i++)
		send_all_lost(txn, entry->feeds[i].source, "it was rewritten");
	RelationClose(rel);
}

/* Sends one inserted, updated or deleted row to every source that it belongs to. */
static void
plugin_change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation rel,
			  ReorderBufferChange *change)
{
	MapEntry *entry = derive_map_lookup(map, rel);
	RowChange row;
	MemoryContext old;

	record_xid = change->txn->xid;
	entry->changed_in = derive_map_transaction(map);
	if (entry->nfeeds == 0 && !OidIsValid(entry->rewrites))
		return;
	old = MemoryContextSwitchTo(change_context);
	if (OidIsValid(entry->rewrites))
		table_rewritten(txn, entry->rewrites);
	else
	{
		read_change(&row, entry, change);
		for (int i = 0; i < entry->nfeeds; i++)
		{
			send_change(txn, &row, &entry->feeds[i]);
			records_full();
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(change_context);
}

/*
 * Sends a TRUNCATE to every source that one of these relations belongs to; or LOST, if that has
 * other tables, which have kept their rows.
 */
static void
plugin_truncate(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, int nrelations,
				Relation relations[], ReorderBufferChange *change)
{
	List *truncated = NIL;
	List *sources = NIL;
	ListCell *lc;
	MemoryContext old = MemoryContextSwitchTo(change_context);

	record_xid = change->txn->xid;
	for (int i = 0; i < nrelations; i++)
	{
		MapEntry *entry = derive_map_lookup(map, relations[i]);

		truncated = lappend_oid(truncated, RelationGetRelid(relations[i]));
		for (int j = 0; j < entry->nfeeds; j++)
			sources = list_append_unique_ptr(sources, entry->feeds[j].source);
	}
	foreach (lc, sources)
	{
		MapSource *source = lfirst(lc);

		send_begin(txn);
		if (derive_map_is_emptied(source, truncated))
			derive_wire_put_truncate(records(), source->source);
		else
			send_all_lost(txn, source, "a table below it was truncated");
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(change_context);
}

/* Makes every change of a new outbox's source one of interest. */
static void
take_announcement(const char *content)
{
	OutboxAnnouncement announcement;

	memcpy(&announcement, content, sizeof(announcement));
	if (OidIsValid(announcement.source))
		derive_map_announce(map, announcement.source);
}

/* Forwards logical messages that our own functions have written. */
static void
plugin_message(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr message_lsn,
			   bool transactional, const char *prefix, Size message_size,
			   const char *message)
{
	bool announces = strcmp(prefix, DERIVE_MESSAGE_OUTBOX) == 0;
	Size size = message_size;
	const char *content;

	if (!transactional)
		return;
	if (strcmp(prefix, DERIVE_MESSAGE_REQUEST) == 0 && spool)
		derive_request_read(derive_spool_request(spool), message, message_size);
	if (!announces && strcmp(prefix, DERIVE_MESSAGE_EMIT) != 0)
		return;
	content = derive_message_open(prefix, txn->xid, message, &size, secret);
	if (content == NULL)
		return;

	/*
	 * Of a transaction in progress, the subtransaction may still abort: core does not
	 * pass it on, but notes it here unless it has committed.
	 */
	record_xid = TransactionIdIsValid(CheckXidAlive) ? CheckXidAlive : txn->xid;
	send_begin(txn);
	if (announces)
		take_announcement(content);
	derive_wire_put_message(records(), prefix, content, size);
	records_full();
}

/* ---------- large transactions in progress ---------- */

/* Starts a piece of a large transaction. */
static void
plugin_stream_start(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	start_transaction(txn);
	record_xid = txn->xid;
	spool = derive_spool_find(txn->xid);
	if (spool == NULL)
		spool = derive_spool_open(txn->xid, derive_map_interest_version(map));
}

/* Notes for later pieces which relations this one has changed, and whom their rows fed. */
static void
note_changed(void)
{
	ListCell *lc;

	foreach (lc, derive_map_changed(map))
	{
		MapEntry *entry = lfirst(lc);
		List *fed = NIL;

		for (int i = 0; i < entry->nfeeds; i++)
			fed = lappend_oid(fed, entry->feeds[i].source->source);
		derive_spool_add_changed(spool, entry->relid, fed);
	}
}

/*
 * Ends a piece: partitions that came or went are noted while catalogs can be read.  They
 * cannot when the transaction, or a subtransaction of it, was found to have aborted.
 */
static void
plugin_stream_stop(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	MemoryContext old = MemoryContextSwitchTo(change_context);
	ListCell *lc;
	List *lost;

	lost = IsTransactionState() ? derive_watch_commit(watch, map, txn, spool)
								: derive_watch_touched(watch, map, spool);
	foreach (lc, lost)
		derive_spool_add_lost(spool, ((MapSource *) lfirst(lc))->source);
	note_changed();
	spool = NULL;
	MemoryContextSwitchTo(old);
	MemoryContextReset(change_context);
}

/* Forgets what an aborted (sub)transaction has put. */
static void
plugin_stream_abort(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
					XLogRecPtr abort_lsn)
{
	ReorderBufferTXN *top = derive_compat_top_transaction(txn);
	Spool *aborted = derive_spool_find(top->xid);

	spool = NULL; /* an error may have cut a piece short */
	if (aborted == NULL)
		return;
	if (txn == top)
		derive_spool_close(aborted);
	else
		derive_spool_abort(aborted, txn->xid);
}

/*
 * The interest changed while a large transaction was put aside: its views can be
 * recomputed, but events cannot.  For them the pipeline starts again and reads it once more.
 */
static void
lose_spooled(Spool *committed)
{
	bool empty = derive_spool_is_empty(committed);
	ListCell *lc;

	foreach (lc, derive_map_sources(map))
	{
		if (((MapSource *) lfirst(lc))->every && !empty)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a large transaction is decoded again, because views or "
							"outboxes changed meanwhile")));
		if (!((MapSource *) lfirst(lc))->every)
			derive_spool_add_lost(committed, ((MapSource *) lfirst(lc))->source);
	}
}

/* Commits a large transaction: its records follow BEGIN, as those of any other. */
static void
plugin_stream_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
					 XLogRecPtr commit_lsn)
{
	Spool *committed = derive_spool_find(txn->xid);
	ListCell *lc;

	if (committed == NULL)
		return;
	start_transaction(txn);
	derive_watch_stream_commit(watch, committed);
	if (derive_spool_interest_version(committed) != derive_map_interest_version(map))
		lose_spooled(committed);
	foreach (lc, derive_spool_lost(committed))
		for (int keys_only = 0; keys_only <= 1; keys_only++)
			derive_wire_put_lost(
				derive_spool_buffer(committed, txn->xid), lfirst_oid(lc), keys_only,
				"a partition or the views changed during a large transaction");
	send_spool(txn, committed);
	if (begun)
		end_transaction(txn, commit_lsn);
}

/*
 * The entry point that the server looks for in an output plugin: records of our own are
 * for our own decoder, everyone else gets text.
 */
void
_PG_output_plugin_init(OutputPluginCallbacks *cb)
{
	if (queue == NULL)
	{
		derive_external_callbacks(cb);
		return;
	}
	cb->startup_cb = plugin_startup;
	cb->begin_cb = plugin_begin;
	cb->change_cb = plugin_change;
	cb->truncate_cb = plugin_truncate;
	cb->commit_cb = plugin_commit;
	cb->message_cb = plugin_message;
	cb->stream_start_cb = plugin_stream_start;
	cb->stream_stop_cb = plugin_stream_stop;
	cb->stream_abort_cb = plugin_stream_abort;
	cb->stream_commit_cb = plugin_stream_commit;
	cb->stream_change_cb = plugin_change;
	cb->stream_truncate_cb = plugin_truncate;
	cb->stream_message_cb = plugin_message;
}
