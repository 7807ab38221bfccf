/*-------------------------------------------------------------------------
 *
 * external.c
 *	  The output plugin for consumers outside.
 *
 * Runs in a walsender or in a backend that calls one of the SQL functions of slots,
 * called by the reorder buffer once per transaction, at its commit, under its historic
 * snapshot.  Decides what is sent and counts; the formats (src/change/format_*.c) write.
 * Needs nothing of pg_derive's shared memory, so it works where the library is not
 * preloaded, too.
 *
 * Ordinals count all changes of a transaction, chosen or not: a change has the same one
 * whatever the options choose, so that identities made of it never change.
 *
 * Transactions that send nothing leave no trace, unless the format is one whose
 * consumers expect them, or the transaction is prepared: its second phase, possibly in a
 * later session, could not know.
 *
 * Large transactions.  Without option streaming the reorder buffer writes what exceeds
 * its memory to disk.  With it, the changes come in pieces while the transaction is in
 * progress; what is known of it then hangs on the reorder buffer's transaction.  Either
 * way one change is in memory here, in a context that is reset after it.
 *
 * Rights.  What is read is not checked against rights of tables, as in core's plugins.
 * Core lets only roles with REPLICATION (and superusers) use slots, and such a role can
 * read all of the log with any plugin, or copy the cluster with pg_basebackup: a check
 * here would promise what it cannot keep.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/external.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "capture/external_messages.h"
#include "capture/external_options.h"
#include "capture/external_relations.h"
#include "capture/stream.h"
#include "change/json.h"
#include "change/message.h"
#include "change/pattern.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "utils/memutils.h"

/* The name by which changes that come from no other server are chosen. */
#define NO_ORIGIN "none"

/* PostgreSQL 15 is told of life after so many changes that are not sent. */
#define SKIPPED_INTERVAL 100

/* A session of a consumer. */
typedef struct External
{
	TextStream stream; /* must be first */
	LogicalDecodingContext *ctx;
	ExternalRelations *relations;
	MemoryContext change_context; /* reset after each change */
	MemoryContext whole_context;  /* of a transaction that comes as a whole */
	TextTransaction *transaction; /* the one at hand */
	bool unwanted;				  /* it comes from an origin that was not asked for */
	bool in_piece;				  /* within a piece of a transaction in progress */
	bool piece_begun;			  /* of which something has been sent */
	uint64 transactions;		  /* so many have been seen */
	int skipped;				  /* changes since the server was told of life */
} External;

/* ---------- the session ---------- */

/* Opens a message. */
static StringInfo
open_message(TextStream *stream, bool last)
{
	return derive_external_message_open(((External *) stream)->ctx, last);
}

/* Sends a message. */
static void
close_message(TextStream *stream, bool last)
{
	derive_external_message_close(((External *) stream)->ctx, last);
}

/* Makes sure that catalogs can be read; returns whether end_catalogs has to be called. */
static bool
begin_catalogs(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (IsTransactionState())
		return false;
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	return true;
}

/* Ends what begin_catalogs has begun. */
static void
end_catalogs(bool begun)
{
	MemoryContext context = CurrentMemoryContext;

	if (begun)
		CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* Throws if a slot belongs to a pipeline: its changes are for our own decoder. */
static void
refuse_own_slot(const ReplicationSlot *slot)
{
	if (strcmp(NameStr(slot->data.name), derive_stream_slot_name(MyDatabaseId)) != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("replication slot \"%s\" belongs to the pipeline of this database",
					NameStr(slot->data.name)),
			 errhint("Create a slot of another name with output plugin pg_derive.")));
}

/* Makes a context for a transaction. */
static MemoryContext
make_context(External *external)
{
	return AllocSetContextCreate(external->ctx->context, "pg_derive external transaction",
								 ALLOCSET_DEFAULT_SIZES);
}

/* Makes a transaction that lives in a context of its own. */
static TextTransaction *
make_transaction(MemoryContext context)
{
	TextTransaction *transaction = MemoryContextAllocZero(context,
														  sizeof(TextTransaction));

	transaction->context = context;
	return transaction;
}

/* Starts a session; is_init: only a slot is created, nothing will be sent. */
static void
external_startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	External *external = palloc0(sizeof(External));
	bool begun;

	refuse_own_slot(ctx->slot);
	options->output_type = OUTPUT_PLUGIN_TEXTUAL_OUTPUT;
	external->ctx = ctx;
	external->stream.open = open_message;
	external->stream.close = close_message;
	external->stream.system = GetSystemIdentifier();
	derive_external_read_options(ctx->output_plugin_options, &external->stream.options);
	external->stream.format = external->stream.options.format;
	ctx->output_plugin_private = external;
	/* a slot's two_phase is a wish; who cannot prepare gets all at the second phase */
	if (!is_init)
		ctx->twophase &= external->stream.format->can_prepare;
	ctx->streaming &= external->stream.options.streaming;

	begun = begin_catalogs();
	derive_json_init();
	external->stream.database = MemoryContextStrdup(ctx->context,
													get_database_name(MyDatabaseId));
	end_catalogs(begun);

	external->change_context = AllocSetContextCreate(
		ctx->context, "pg_derive external change", ALLOCSET_DEFAULT_SIZES);
	external->relations = derive_external_relations_create(&external->stream,
														   ctx->context);
	external->whole_context = make_context(external);
}

/* ---------- origins ---------- */

/*
 * Leaves out what can be left out without reading catalogs, so that it takes no memory:
 * all that comes from elsewhere, or all that was written here.
 */
static bool
external_filter_by_origin(LogicalDecodingContext *ctx, RepOriginId origin)
{
	External *external = ctx->output_plugin_private;
	const List *origins = external->stream.options.origins;
	const char *const none[] = {NO_ORIGIN};

	if (origins == NIL)
		return false;
	if (origin != InvalidRepOriginId)
		return external->stream.options.local_only;
	return derive_pattern_excludes(origins, none, 1) ||
		   (derive_pattern_is_selective(origins) &&
			!derive_pattern_includes(origins, none, 1));
}

/* Notes the origin of the transaction at hand and decides whether it was asked for. */
static void
set_origin(External *external, RepOriginId origin)
{
	TextTransaction *transaction = external->transaction;
	const List *origins = external->stream.options.origins;
	const char *name[1];
	bool begun;
	char *found;

	transaction->origin_id = origin;
	transaction->origin = NULL;
	external->unwanted = false;
	if (origin == InvalidRepOriginId || origin == DoNotReplicateId)
		return; /* external_filter_by_origin has decided */
	begun = begin_catalogs();
	if (replorigin_by_oid(origin, true, &found))
		transaction->origin = MemoryContextStrdup(transaction->context, found);
	end_catalogs(begun);
	name[0] = transaction->origin ? transaction->origin : "";
	external->unwanted = derive_pattern_excludes(origins, name, 1) ||
						 (derive_pattern_is_selective(origins) &&
						  !derive_pattern_includes(origins, name, 1));
}

/* ---------- transactions ---------- */

/* Returns a transaction id with its epoch; it is not far from the next one. */
static uint64
widen_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32 epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return ((uint64) epoch << 32) | xid;
}

/* Notes what is known of a transaction whose end is known. */
static void
set_end(TextTransaction *transaction, const ReorderBufferTXN *txn)
{
	transaction->in_progress = false;
	transaction->commit_lsn = txn->final_lsn;
	transaction->end_lsn = txn->end_lsn;
	transaction->commit_time = txn->xact_time.commit_time;
}

/* Starts counting a transaction. */
static void
start_transaction(External *external, TextTransaction *transaction,
				  const ReorderBufferTXN *txn)
{
	MemoryContext old = MemoryContextSwitchTo(transaction->context);

	transaction->number = ++external->transactions;
	transaction->xid = transaction->subxid = txn->xid;
	transaction->full_xid = widen_xid(txn->xid);
	initStringInfo(&transaction->head);
	initStringInfo(&transaction->place);
	MemoryContextSwitchTo(old);
	external->transaction = transaction;
}

/* Makes the transaction that comes as a whole the one at hand. */
static void
start_whole(External *external, ReorderBufferTXN *txn)
{
	derive_external_relations_trim(external->relations);
	MemoryContextReset(external->whole_context);
	start_transaction(external, make_transaction(external->whole_context), txn);
	set_end(external->transaction, txn);
	set_origin(external, txn->origin_id);
	(void) derive_request_find(txn, &external->transaction->request);
	external->in_piece = false; /* an error may have cut a piece short */
}

/* Sends the record that begins a transaction or a piece of one, before its first change. */
static void
begin_records(External *external)
{
	TextStream *stream = &external->stream;

	if (external->in_piece)
	{
		if (!external->piece_begun)
			stream->format->control(stream, external->transaction, TEXT_STREAM_START);
		external->piece_begun = true;
		return;
	}
	if (!external->transaction->begun && stream->format->begin)
		stream->format->begin(stream, external->transaction);
	external->transaction->begun = true;
}

/* Starts a transaction. */
static void
external_begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	External *external = ctx->output_plugin_private;

	start_whole(external, txn);
	if (external->stream.format->empty_transactions && !external->unwanted)
		begin_records(external);
}

/* Ends a transaction. */
static void
external_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	External *external = ctx->output_plugin_private;
	TextTransaction *transaction = external->transaction;

	OutputPluginUpdateProgress(ctx, !transaction->begun);
	if (transaction->begun && external->stream.format->commit)
		external->stream.format->commit(&external->stream, transaction);
	external->stream.last_commit = commit_lsn;
	external->transaction = NULL;
}

/* ---------- changes ---------- */

/* Counts a change that is not sent. */
static void
skip_change(External *external)
{
	if (++external->skipped < SKIPPED_INTERVAL)
		return;
	external->skipped = 0;
	derive_compat_change_skipped(external->ctx);
}

/* Reads the operation of a change; false: it is none that is sent. */
static bool
read_operation(const ReorderBufferChange *change, TextOperation *operation, int *bit)
{
	switch (change->action)
	{
		case REORDER_BUFFER_CHANGE_INSERT:
			*operation = TEXT_INSERT;
			*bit = OPERATION_INSERT;
			return true;
		case REORDER_BUFFER_CHANGE_UPDATE:
			*operation = TEXT_UPDATE;
			*bit = OPERATION_UPDATE;
			return true;
		case REORDER_BUFFER_CHANGE_DELETE:
			*operation = TEXT_DELETE;
			*bit = OPERATION_DELETE;
			return true;
		default:
			return false;
	}
}

/* Counts a change; returns false if its transaction's origin was not asked for. */
static bool
count_change(External *external, ReorderBufferChange *change)
{
	TextTransaction *transaction = external->transaction;

	transaction->ordinal++;
	transaction->subxid = change->txn->xid;
	/* the origin of a transaction is known at its end only */
	if (external->in_piece && change->origin_id != transaction->origin_id)
		set_origin(external, change->origin_id);
	return !external->unwanted;
}

/* Sends one row, in the change's context. */
static void
send_row(External *external, TextRelation *relation, TextChange *row, TupleDesc desc,
		 ReorderBufferChange *change)
{
	HeapTuple old_tuple = NULL;
	HeapTuple new_tuple = NULL;

	if (row->operation != TEXT_INSERT)
		old_tuple = derive_compat_change_tuple(change->data.tp.oldtuple);
	if (row->operation != TEXT_DELETE)
		new_tuple = derive_compat_change_tuple(change->data.tp.newtuple);
	derive_text_relation_load(relation, desc, old_tuple, new_tuple);
	row->relation = relation;
	row->has_old = old_tuple != NULL;
	row->has_new = new_tuple != NULL;
	row->key_changed = row->has_old && row->has_new &&
					   derive_text_key_changed(relation, desc);
	row->lsn = change->lsn;
	begin_records(external);
	external->stream.format->change(&external->stream, external->transaction, row);
	external->transaction->sent++;
}

/* Sends one inserted, updated or deleted row, if it was asked for. */
static void
external_change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation rel,
				ReorderBufferChange *change)
{
	External *external = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(external->change_context);
	TextRelation *relation = NULL;
	TextChange row;
	int bit;

	if (count_change(external, change) && read_operation(change, &row.operation, &bit) &&
		(external->stream.options.operations & bit))
		relation = derive_external_relations_find(external->relations, rel);
	if (relation && relation->chosen)
		send_row(external, relation, &row, RelationGetDescr(rel), change);
	else
		skip_change(external);
	MemoryContextSwitchTo(old);
	MemoryContextReset(external->change_context);
}

/* Sends a TRUNCATE: one record per relation. */
static void
external_truncate(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, int nrelations,
				  Relation relations[], ReorderBufferChange *change)
{
	External *external = ctx->output_plugin_private;
	MemoryContext old = MemoryContextSwitchTo(external->change_context);

	for (int i = 0; i < nrelations; i++)
	{
		TextTruncate truncate;

		if (!count_change(external, change) ||
			!(external->stream.options.operations & OPERATION_TRUNCATE))
			continue;
		truncate.relation = derive_external_relations_find(external->relations,
														   relations[i]);
		if (!truncate.relation->chosen)
			continue;
		truncate.cascade = change->data.truncate.cascade;
		truncate.restart_identity = change->data.truncate.restart_seqs;
		truncate.lsn = change->lsn;
		begin_records(external);
		external->stream.format->truncate(&external->stream, external->transaction,
										  &truncate);
		external->transaction->sent++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(external->change_context);
}

/* Decides whether a message is sent. */
static bool
choose_message(const TextOptions *options, const char *prefix, bool *is_snapshot)
{
	const char *const name[] = {prefix};

	*is_snapshot = options->snapshot_marks && strcmp(prefix, DERIVE_SNAPSHOT_PREFIX) == 0;
	if (*is_snapshot)
		return true;
	if (derive_pattern_excludes(options->messages, name, 1))
		return false;
	if (derive_pattern_is_selective(options->messages))
		return derive_pattern_includes(options->messages, name, 1);
	return strncmp(prefix, DERIVE_MESSAGE_PREFIX, strlen(DERIVE_MESSAGE_PREFIX)) != 0;
}

/* Notes the request that a transaction serves, as far as it was not known from its start. */
static void
note_request(TextTransaction *transaction, const char *content, Size len)
{
	if (transaction->request.len > 0)
		return;
	derive_request_read(&transaction->request, content, len);
	transaction->request_late = transaction->request.len > 0;
}

/* Sends a logical message; one that is not transactional belongs to no transaction. */
static void
external_message(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
				 XLogRecPtr message_lsn, bool transactional, const char *prefix,
				 Size message_size, const char *message)
{
	External *external = ctx->output_plugin_private;
	TextTransaction *transaction = transactional ? external->transaction : NULL;
	TextMessage text = {.prefix = prefix,
						.content = message,
						.content_len = message_size,
						.lsn = message_lsn};
	MemoryContext old;

	if (transaction)
	{
		transaction->ordinal++;
		/* core does not pass the subtransaction on, but notes it here unless it has committed */
		transaction->subxid = TransactionIdIsValid(CheckXidAlive) ? CheckXidAlive
																  : transaction->xid;
		if (strcmp(prefix, DERIVE_MESSAGE_REQUEST) == 0)
			note_request(transaction, message, message_size);
	}
	if (!choose_message(&external->stream.options, prefix, &text.is_snapshot) ||
		(transaction && external->unwanted))
		return;
	old = MemoryContextSwitchTo(external->change_context);
	if (transaction)
		begin_records(external);
	external->stream.format->message(&external->stream, transaction, &text);
	if (transaction)
		transaction->sent++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(external->change_context);
}

/* ---------- two-phase transactions ---------- */

/* Starts a transaction that is prepared; it is sent even if it is empty. */
static void
external_begin_prepare(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	External *external = ctx->output_plugin_private;

	start_whole(external, txn);
	external->transaction->gid = txn->gid;
	external->transaction->commit_time = txn->xact_time.prepare_time;
	if (!external->unwanted)
		begin_records(external);
}

/* Ends a transaction that is prepared. */
static void
external_prepare(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
				 XLogRecPtr prepare_lsn)
{
	External *external = ctx->output_plugin_private;

	OutputPluginUpdateProgress(ctx, false);
	if (external->transaction->begun)
		external->stream.format->control(&external->stream, external->transaction,
										 TEXT_PREPARE);
	external->transaction = NULL;
}

/* Sends the second phase of a prepared transaction. */
static void
send_second_phase(External *external, ReorderBufferTXN *txn, TextControl control)
{
	OutputPluginUpdateProgress(external->ctx, false);
	start_whole(external, txn);
	external->transaction->gid = txn->gid;
	if (!external->unwanted)
		external->stream.format->control(&external->stream, external->transaction,
										 control);
	external->stream.last_commit = txn->final_lsn;
	external->transaction = NULL;
}

/* Commits a prepared transaction. */
static void
external_commit_prepared(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
						 XLogRecPtr commit_lsn)
{
	send_second_phase(ctx->output_plugin_private, txn, TEXT_COMMIT_PREPARED);
}

/* Rolls a prepared transaction back. */
static void
external_rollback_prepared(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
						   XLogRecPtr prepare_end_lsn, TimestampTz prepare_time)
{
	send_second_phase(ctx->output_plugin_private, txn, TEXT_ROLLBACK_PREPARED);
}

/* ---------- transactions in progress ---------- */

/* Starts a piece of a transaction in progress. */
static void
external_stream_start(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	External *external = ctx->output_plugin_private;

	derive_external_relations_trim(external->relations);
	if (txn->output_plugin_private == NULL)
	{
		TextTransaction *transaction = make_transaction(make_context(external));

		start_transaction(external, transaction, txn);
		transaction->in_progress = true;
		txn->output_plugin_private = transaction;
	}
	external->transaction = txn->output_plugin_private;
	external->in_piece = true;
	external->piece_begun = false;
	set_origin(external, external->transaction->origin_id);
}

/* Ends a piece. */
static void
external_stream_stop(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	External *external = ctx->output_plugin_private;

	if (external->piece_begun)
		external->stream.format->control(&external->stream, external->transaction,
										 TEXT_STREAM_STOP);
	external->in_piece = external->piece_begun = false;
	external->transaction = NULL;
}

/* Forgets a transaction in progress that has ended. */
static void
forget_transaction(ReorderBufferTXN *txn)
{
	TextTransaction *transaction = txn->output_plugin_private;

	txn->output_plugin_private = NULL;
	MemoryContextDelete(transaction->context);
}

/* Takes back what a transaction or a subtransaction has sent. */
static void
external_stream_abort(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
					  XLogRecPtr abort_lsn)
{
	External *external = ctx->output_plugin_private;
	ReorderBufferTXN *top = derive_compat_top_transaction(txn);
	TextTransaction *transaction = top->output_plugin_private;

	external->in_piece = external->piece_begun = false;
	if (transaction == NULL)
		return;
	transaction->subxid = txn->xid;
	if (transaction->sent > 0)
		external->stream.format->control(&external->stream, transaction,
										 TEXT_STREAM_ABORT);
	if (txn == top)
		forget_transaction(top);
}

/* Commits a transaction in progress. */
static void
external_stream_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
					   XLogRecPtr commit_lsn)
{
	External *external = ctx->output_plugin_private;
	TextTransaction *transaction = txn->output_plugin_private;

	OutputPluginUpdateProgress(ctx, transaction == NULL || transaction->sent == 0);
	external->stream.last_commit = commit_lsn;
	if (transaction == NULL)
		return;
	set_end(transaction, txn);
	if (transaction->sent > 0)
		external->stream.format->control(&external->stream, transaction,
										 TEXT_STREAM_COMMIT);
	forget_transaction(txn);
}

/* Prepares a transaction in progress. */
static void
external_stream_prepare(LogicalDecodingContext *ctx, ReorderBufferTXN *txn,
						XLogRecPtr prepare_lsn)
{
	External *external = ctx->output_plugin_private;
	TextTransaction *transaction = txn->output_plugin_private;

	OutputPluginUpdateProgress(ctx, false);
	if (transaction == NULL)
		return;
	set_end(transaction, txn);
	transaction->gid = txn->gid;
	transaction->commit_time = txn->xact_time.prepare_time;
	external->transaction = transaction;
	set_origin(external, txn->origin_id);
	/* even if it is empty, as any that is prepared */
	if (!external->unwanted)
		external->stream.format->control(&external->stream, transaction,
										 TEXT_STREAM_PREPARE);
	external->transaction = NULL;
	forget_transaction(txn);
}

void
derive_external_callbacks(OutputPluginCallbacks *cb)
{
	cb->startup_cb = external_startup;
	cb->filter_by_origin_cb = external_filter_by_origin;
	cb->begin_cb = external_begin;
	cb->change_cb = external_change;
	cb->truncate_cb = external_truncate;
	cb->commit_cb = external_commit;
	cb->message_cb = external_message;
	cb->begin_prepare_cb = external_begin_prepare;
	cb->prepare_cb = external_prepare;
	cb->commit_prepared_cb = external_commit_prepared;
	cb->rollback_prepared_cb = external_rollback_prepared;
	cb->stream_start_cb = external_stream_start;
	cb->stream_stop_cb = external_stream_stop;
	cb->stream_abort_cb = external_stream_abort;
	cb->stream_commit_cb = external_stream_commit;
	cb->stream_prepare_cb = external_stream_prepare;
	cb->stream_change_cb = external_change;
	cb->stream_truncate_cb = external_truncate;
	cb->stream_message_cb = external_message;
}
