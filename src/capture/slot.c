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
 * What a slot may retain is limited by pg_derive.max_retained_wal: the decoder looks when
 * it reads and when it waits, also while it waits for a slot to be created, and gives the
 * slot up (derive_slot_abandon); the launcher does so for slots that nobody reads.  The
 * applier finds the slot missing and has the views repaired.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/slot.h"

#include "access/xlog.h"
#include "base/compat.h"
#include "base/settings.h"
#include "base/step.h"
#include "capture/decode_record.h"
#include "capture/plugin.h"
#include "capture/stream.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "storage/procarray.h"
#include "storage/standby.h"
#include "utils/resowner.h"

char *
derive_stream_slot_name(Oid dboid)
{
	return psprintf("pg_derive_%u", dboid);
}

/* Returns true if a slot belongs to the pipeline of a database. */
static bool
is_ours(const ReplicationSlot *slot, Oid dboid)
{
	return slot->data.database == dboid &&
		   strcmp(NameStr(slot->data.plugin), DERIVE_PLUGIN_NAME) == 0;
}

void
derive_stream_slot_state(Oid dboid, SlotState *state)
{
	char *name = derive_stream_slot_name(dboid);
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);

	memset(state, 0, sizeof(SlotState));
	pfree(name);
	if (slot == NULL || !is_ours(slot, dboid))
		return;
	SpinLockAcquire(&slot->mutex);
	state->exists = true;
	state->synced = derive_compat_slot_is_synced(slot);
	state->confirmed_lsn = slot->data.confirmed_flush;
	if (derive_compat_slot_is_lost(slot))
		state->lost = derive_compat_slot_lost_wal(slot)
						  ? "it retained more than max_slot_wal_keep_size"
						  : "see pg_replication_slots and the server's log";
	SpinLockRelease(&slot->mutex);
}

void
derive_stream_slot_drop(Oid dboid)
{
	SlotState state;

	derive_stream_slot_state(dboid, &state);
	if (state.exists)
		ReplicationSlotDrop(derive_stream_slot_name(dboid), false);
}

/* ---------- the limit of what a slot retains ---------- */

/* Returns true if a slot that retains WAL from restart_lsn on keeps more than allowed. */
static bool
exceeds_limit(XLogRecPtr restart_lsn, XLogRecPtr flushed)
{
	return derive_max_retained_wal > 0 && !XLogRecPtrIsInvalid(restart_lsn) &&
		   flushed > restart_lsn &&
		   (flushed - restart_lsn) / (1024 * 1024) >= (uint64) derive_max_retained_wal;
}

/*
 * Does now and then, while the slot retains a good part of what it may, what lets it
 * advance: asks for a tick, which an idle applier runs seldom, and logs the running
 * transactions, since it lets go of the log only where such a record is.
 */
static void
help_advance(Pipeline *pipeline, XLogRecPtr flushed)
{
	static XLogRecPtr last = InvalidXLogRecPtr;
	uint64 part = (uint64) derive_max_retained_wal * 1024 * 1024 / 8;

	if (derive_max_retained_wal == 0 ||
		MyReplicationSlot->data.restart_lsn + 2 * part > flushed || last + part > flushed)
		return;
	last = flushed;
	pg_atomic_fetch_add_u64(&pipeline->tick_request, 1);
	derive_pipeline_wake_applier(pipeline);
	(void) LogStandbySnapshot();
}

bool
derive_slot_exceeds_limit(Pipeline *pipeline, XLogRecPtr flushed)
{
	if (MyReplicationSlot == NULL)
		return false;
	help_advance(pipeline, flushed);
	return exceeds_limit(MyReplicationSlot->data.restart_lsn, flushed);
}

void
derive_slot_abandon(void)
{
	char *name = derive_stream_slot_name(MyDatabaseId);
	bool persistent = MyReplicationSlot->data.persistency == RS_PERSISTENT;

	ReplicationSlotRelease(); /* drops an ephemeral one */
	if (persistent)
		ReplicationSlotDrop(name, true);
	pfree(name);
}

/* Returns the database of a slot if it is a pipeline's that is to be shed, else InvalidOid. */
static Oid
database_to_shed(ReplicationSlot *slot, XLogRecPtr flushed)
{
	Oid dboid = InvalidOid;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	if (slot->in_use)
	{
		SpinLockAcquire(&slot->mutex);
		if (is_ours(slot, slot->data.database) && slot->active_pid == 0 &&
			exceeds_limit(slot->data.restart_lsn, flushed))
			dboid = slot->data.database;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return dboid;
}

void
derive_stream_shed_idle(void)
{
	XLogRecPtr flushed = GetFlushRecPtr(NULL);

	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		Oid dboid = database_to_shed(slot, flushed);
		char *name = OidIsValid(dboid) ? derive_stream_slot_name(dboid) : NULL;
		Pipeline *pipeline;

		if (name == NULL || strcmp(NameStr(slot->data.name), name) != 0)
			continue;
		pipeline = derive_pipeline_find(dboid);
		if (pipeline != NULL)
			pg_atomic_write_u32(&pipeline->shed, 1);
		ereport(LOG,
				(errmsg("replication slot \"%s\", which nobody reads, is dropped", name),
				 errdetail("It retained more than pg_derive.max_retained_wal."),
				 errhint("See derive.pipelines for why the pipeline does not run.")));
		ReplicationSlotDrop(name, true);
		pfree(name);
	}
}

/* ---------- acquisition ---------- */

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
	if (is_ours(MyReplicationSlot, MyDatabaseId))
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
		derive_decode_record(ctx);
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
