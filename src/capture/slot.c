/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  The logical replication slot of a pipeline.
 *
 * Runs in the decoder.  A new slot is ephemeral until decoding has found its
 * starting point, so that a crash in between leaves nothing behind.  Finding it
 * means waiting for all transactions that were running; instead of leaving that to
 * the snapshot builder, which waits in a lock without a word, the decoder waits
 * beforehand and says for which one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/slot.h"

#include "access/xlog.h"
#include "base/compat.h"
#include "base/step.h"
#include "capture/plugin.h"
#include "capture/stream.h"
#include "miscadmin.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "storage/procarray.h"
#include "storage/standbydefs.h"
#include "utils/resowner.h"

char *
derive_stream_slot_name(Oid dboid)
{
	return psprintf("pg_derive_%u", dboid);
}

bool
derive_stream_slot_usable(Oid dboid)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(derive_stream_slot_name(dboid),
													   true);

	return slot != NULL && !derive_compat_slot_is_lost(slot);
}

/* Throws if the server is not set up for logical decoding. */
static void
check_requirements(void)
{
	if (wal_level < WAL_LEVEL_LOGICAL)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pg_derive needs wal_level = logical"),
			 errhint(
				 "Set wal_level = logical in postgresql.conf and restart the server.")));
	if (max_replication_slots == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pg_derive needs a replication slot, but max_replication_slots is 0"),
			 errhint(
				 "Raise max_replication_slots in postgresql.conf and restart the server.")));
}

/* Throws if the acquired slot belongs to somebody else. */
static void
check_ours(const char *name)
{
	if (MyReplicationSlot->data.database == MyDatabaseId &&
		strcmp(NameStr(MyReplicationSlot->data.plugin), DERIVE_PLUGIN_NAME) == 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
					errmsg("replication slot \"%s\" exists but is not pg_derive's", name),
					errhint("Drop it with pg_drop_replication_slot('%s').", name)));
}

/*
 * Acquires the slot if it exists and can be used.  Waits for a predecessor that is
 * about to die.  Drops a slot whose WAL has been removed.
 */
static bool
acquire_existing(const char *name)
{
	if (SearchNamedReplicationSlot(name, true) == NULL)
		return false;
	derive_compat_slot_acquire(name);
	check_ours(name);
	if (!derive_compat_slot_is_lost(MyReplicationSlot))
		return true;
	ereport(LOG,
			(errmsg("replication slot \"%s\" has lost its WAL and is made again", name),
			 errdetail("All derived views of the database will be recomputed.")));
	ReplicationSlotRelease();
	ReplicationSlotDrop(name, false);
	return false;
}

/* Returns the first of these transactions that is still running, or InvalidTransactionId. */
static TransactionId
first_running(const xl_running_xacts *running)
{
	for (int i = 0; i < running->xcnt; i++)
		if (TransactionIdIsInProgress(running->xids[i]))
			return running->xids[i];
	return InvalidTransactionId;
}

/* Waits until no transaction of a running-transactions record runs, saying for which. */
static void
wait_for_transactions(Pipeline *pipeline, const xl_running_xacts *running,
					  void (*nap)(void))
{
	TransactionId told = InvalidTransactionId;
	TransactionId xid;

	while (TransactionIdIsValid(xid = first_running(running)))
	{
		if (xid != told)
		{
			char *reason = psprintf("waiting for transaction %u to end, to create the "
									"replication slot",
									xid);

			derive_pipeline_set_state(pipeline, PIPELINE_STARTING, reason);
			ereport(
				LOG,
				(errmsg("pg_derive is %s", reason),
				 errhint("See backend_xid in pg_stat_activity, and pg_prepared_xacts.")));
			pfree(reason);
			told = xid;
		}
		nap();
	}
	if (TransactionIdIsValid(told))
		derive_pipeline_set_state(pipeline, PIPELINE_STARTING, NULL);
}

/* Waits for the transactions of the record just read, if it lists some. */
static void
wait_before_processing(Pipeline *pipeline, XLogReaderState *reader, void (*nap)(void))
{
	if (XLogRecGetRmid(reader) == RM_STANDBY_ID &&
		(XLogRecGetInfo(reader) & ~XLR_INFO_MASK) == XLOG_RUNNING_XACTS)
		wait_for_transactions(pipeline, (xl_running_xacts *) XLogRecGetData(reader), nap);
}

/* Reads WAL until decoding can start, and makes the slot start there. */
static void
find_start(Pipeline *pipeline, LogicalDecodingContext *ctx, void (*nap)(void))
{
	ResourceOwner owner = CurrentResourceOwner;

	XLogBeginRead(ctx->reader, MyReplicationSlot->data.restart_lsn);
	while (!DecodingContextReady(ctx))
	{
		char *error = NULL;
		XLogRecord *record = XLogReadRecord(ctx->reader, &error);

		if (record == NULL)
			elog(ERROR, "could not find a starting point for decoding: %s",
				 error ? error : "end of WAL");
		wait_before_processing(pipeline, ctx->reader, nap);
		LogicalDecodingProcessRecord(ctx, ctx->reader);
		CurrentResourceOwner = owner;
		CHECK_FOR_INTERRUPTS();
	}
	SpinLockAcquire(&MyReplicationSlot->mutex);
	MyReplicationSlot->data.confirmed_flush = ctx->reader->EndRecPtr;
	SpinLockRelease(&MyReplicationSlot->mutex);
}

/* The plugin writes into its own queue. */
static void
no_write(LogicalDecodingContext *ctx, XLogRecPtr lsn, TransactionId xid, bool last)
{
}

/* Creates the slot and leaves it acquired. */
static void
create(Pipeline *pipeline, const char *name, XLogReaderRoutine *routine,
	   void (*nap)(void))
{
	LogicalDecodingContext *ctx;

	derive_compat_slot_create(name, RS_EPHEMERAL);
	ctx = CreateInitDecodingContext(DERIVE_PLUGIN_NAME, NIL, false, InvalidXLogRecPtr,
									routine, no_write, no_write, NULL);
	find_start(pipeline, ctx, nap);
	FreeDecodingContext(ctx);
	ReplicationSlotPersist();
	DERIVE_STEP("decoder-slot-created");
	ereport(LOG, (errmsg("replication slot \"%s\" was created", name)));
}

bool
derive_slot_acquire(Pipeline *pipeline, XLogReaderRoutine *routine, void (*nap)(void))
{
	char *name = derive_stream_slot_name(MyDatabaseId);
	bool created;

	check_requirements();
	created = !acquire_existing(name);
	if (created)
		create(pipeline, name, routine, nap);
	pfree(name);
	return created;
}
