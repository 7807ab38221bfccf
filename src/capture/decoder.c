/*-------------------------------------------------------------------------
 *
 * decoder.c
 *	  The background worker that decodes the write-ahead log of one database.
 *
 * Started by the applier, which owns the shared segment and outlives it, or dies
 * with it.  The decoder owns the replication slot.  It decodes outside any
 * transaction, as a walsender does: the reorder buffer starts and aborts its own.
 *
 * Reading.  The page-read callback below returns what is flushed.  Where there is
 * nothing it serves the applier's wishes and then waits on its latch, which commits
 * set (commit_hook.c).  It flushes WAL only for those who wait: the applier's target
 * and asynchronous commits.  Commits alone wake it; so that a long transaction is read
 * while it is being written, it also looks by itself, ever more rarely while nothing
 * is written.
 *
 * Wishes, served between two records: a new interest; a progress mark, once decoding
 * has passed the target; confirming the slot.  A mark can be sent at the end of what
 * is flushed even if the target lies inside the next record, or behind the header of
 * the next page: every commit that ends at or before the target has been decoded then.
 *
 * Memory: the reorder buffer keeps to logical_decoding_work_mem and spills beyond it.
 * Ends: an error is left in the segment for the applier to report; the slot is
 * released at exit.  When the applier ends, it terminates this process.  A slot that
 * retains too much, or whose log is gone, is dropped after the error has been thrown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/decoder.h"

#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogutils.h"
#include "base/lsn.h"
#include "base/settings.h"
#include "base/step.h"
#include "base/wait_event.h"
#include "capture/decode_record.h"
#include "capture/interest.h"
#include "capture/plugin.h"
#include "capture/slot.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "shared/process.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* The log is read in pieces of up to this size: a system call per page shows in a backlog. */
#define READ_SIZE (16 * XLOG_BLCKSZ)

#define PLUGIN_LIST_SETTING "output_plugin_libraries"

/* How long the decoder sleeps when nobody wakes it, in ms. */
#define MIN_NAP 50
#define MAX_NAP 5000
#define FULL_NAP 1000 /* while the queue is full */

/* This process's state; it decodes one stream in its life. */
typedef struct Decoder
{
	dsm_segment *dsm;
	StreamSegment *segment;
	Pipeline *pipeline;
	MemoryContext context;
	ResourceOwner owner;
	DecoderQueue *queue;
	LogicalDecodingContext *ctx;
	RelationMap *map;
	PartitionWatch *watch;
	XLogRecPtr start_lsn;  /* commits before are not sent */
	bool has_interest;	   /* one has been taken over */
	bool streaming;		   /* the slot is there, HELLO has been sent */
	bool abandon;		   /* the error being thrown is one of the slot's: drop it */
	uint64 answered;	   /* last request that got its mark */
	char *log;			   /* the last piece that was read, of READ_SIZE */
	XLogRecPtr log_start;  /* where it begins */
	XLogRecPtr log_end;	   /* and ends */
	XLogRecPtr seen_flush; /* flush position before the last nap */
	long nap;
} Decoder;

static Decoder decoder;

/* ---------- wishes ---------- */

/* Ends the process if its applier has. */
static void
check_applier(void)
{
	CHECK_FOR_INTERRUPTS();
	if (decoder.segment->applier_gone)
		ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN),
						errmsg("pg_derive decoder stops because its applier has ended")));
}

/* Takes over a new interest, if there is one. */
static void
adopt_interest(void)
{
	StreamSegment *segment = decoder.segment;
	uint32 version;
	dsm_handle handle;
	dsm_segment *dsm;
	MemoryContext old;
	MemoryContext scratch;

	if (decoder.has_interest && *(volatile uint32 *) &segment->interest_version ==
									derive_map_interest_version(decoder.map))
		return;
	SpinLockAcquire(&segment->mutex);
	version = segment->interest_version;
	handle = segment->interest_handle;
	SpinLockRelease(&segment->mutex);

	dsm = dsm_attach(handle);
	if (dsm == NULL)
		elog(ERROR, "could not attach to the interest of the applier");
	scratch = AllocSetContextCreate(decoder.context, "pg_derive interest",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(scratch);
	derive_map_set_interest(decoder.map, derive_interest_read(dsm_segment_address(dsm)),
							version);
	derive_watch_set_interest(decoder.watch, decoder.map);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	dsm_detach(dsm);
	decoder.has_interest = true;
}

/* Sends the mark that the applier waits for, if decoding has come that far. */
static void
answer_request(XLogRecPtr decoded, XLogRecPtr read_up_to)
{
	uint64 request = pg_atomic_read_u64(&decoder.pipeline->target_request);

	if (request == decoder.answered)
		return;
	pg_read_barrier();
	if (Max(decoded, read_up_to) < pg_atomic_read_u64(&decoder.pipeline->target_lsn))
		return;
	DERIVE_STEP("decoder-progress");
	derive_wire_put_progress(&decoder.queue->buffer, decoded, request,
							 derive_map_interest_version(decoder.map));
	derive_queue_flush(decoder.queue);
	decoder.answered = request;
}

/* Confirms the slot as far as the applier allows. */
static void
confirm(XLogRecPtr decoded)
{
	XLogRecPtr lsn = Min(pg_atomic_read_u64(&decoder.pipeline->confirm_lsn), decoded);

	if (lsn <= MyReplicationSlot->data.confirmed_flush)
		return;
	DERIVE_STEP("decoder-confirm");
	LogicalConfirmReceivedLocation(lsn);
	pg_atomic_write_u64(&decoder.pipeline->confirmed_lsn, lsn);
}

/*
 * Serves all wishes.  decoded: end of the last record processed.  read_up_to: all
 * records that end at or before this have been processed.
 */
static void
serve(XLogRecPtr decoded, XLogRecPtr read_up_to)
{
	check_applier();
	derive_process_reload();
	if (!decoder.streaming)
		return;
	decoded = Max(decoded, decoder.start_lsn);
	adopt_interest();
	answer_request(decoded, read_up_to);
	confirm(decoded);
}

/* ---------- the slot's log ---------- */

/* Throws an error after which the slot is dropped, so that it retains nothing. */
static void
check_retained(XLogRecPtr flushed)
{
	if (!derive_slot_exceeds_limit(decoder.pipeline, flushed))
		return;
	decoder.abandon = true;
	pg_atomic_write_u32(&decoder.pipeline->shed, 1);
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					errmsg("the replication slot retained more than "
						   "pg_derive.max_retained_wal (%d MB) and is given up",
						   derive_max_retained_wal),
					errdetail("Derived views of the database will be recomputed."),
					errhint("See the lag in derive.pipelines, and pg_stat_activity and "
							"pg_prepared_xacts for transactions that stay open.")));
}

/* Opens a segment of the log; if it is gone, so is the use of the slot. */
static void
open_segment(XLogReaderState *state, XLogSegNo segment, TimeLineID *timeline)
{
	char path[MAXPGPATH];

	XLogFilePath(path, *timeline, segment, wal_segment_size);
	if (access(path, F_OK) != 0 && errno == ENOENT)
	{
		decoder.abandon = true;
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("the replication slot needs \"%s\", which has been removed", path),
			 errdetail("A new slot is made, and derived views of the database will be "
					   "recomputed.")));
	}
	wal_segment_open(state, segment, timeline);
}

/* Waits a moment while the queue is full, without retaining more than is allowed. */
static void
wait_for_queue(void)
{
	check_applier();
	derive_process_reload();
	check_retained(GetFlushRecPtr(NULL));
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, FULL_NAP,
					 derive_wait_event(WAIT_DECODER_PEER));
	ResetLatch(MyLatch);
}

/* ---------- reading the log ---------- */

/* Returns up to where WAL is wanted by somebody who waits. */
static XLogRecPtr
wanted_lsn(void)
{
	if (!decoder.streaming)
		return derive_lsn_reachable(GetXLogInsertRecPtr());
	return Max(pg_atomic_read_u64(&decoder.pipeline->target_lsn),
			   pg_atomic_read_u64(&decoder.pipeline->async_lsn));
}

/* Sleeps until the latch is set, or for a while that grows as long as nothing happens. */
static void
sleep_on_latch(XLogRecPtr flushed)
{
	int event;

	if (flushed != decoder.seen_flush)
		decoder.nap = MIN_NAP;
	decoder.seen_flush = flushed;
	event = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					  decoder.nap, derive_wait_event(WAIT_DECODER_MAIN));
	if (event & WL_LATCH_SET)
		ResetLatch(MyLatch);
	else
		decoder.nap = Min(decoder.nap * 2, MAX_NAP);
}

/* Waits a moment for another process. */
static void
nap(void)
{
	check_applier();
	check_retained(GetFlushRecPtr(NULL));
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
					 derive_wait_event(WAIT_DECODER_PEER));
	ResetLatch(MyLatch);
}

/* Returns the end of the WAL that can be read, which is at least up to; sets the timeline. */
static XLogRecPtr
wait_for_wal(XLogReaderState *state, XLogRecPtr page, int length, TimeLineID *tli)
{
	for (;;)
	{
		XLogRecPtr flushed = GetFlushRecPtr(tli);
		XLogRecPtr wanted;

		check_retained(flushed);
		XLogReadDetermineTimeline(state, page, length, *tli);
		if (state->currTLI != *tli)
		{
			*tli = state->currTLI;
			return state->currTLIValidUntil;
		}
		if (page + length <= flushed)
			return flushed;

		derive_queue_flush_commits(decoder.queue);
		if (decoder.ctx)
			derive_plugin_report_statistics(decoder.ctx);
		serve(state->EndRecPtr, flushed);
		wanted = wanted_lsn();
		if (wanted > flushed)
			XLogFlush(wanted);
		else
			sleep_on_latch(flushed);
	}
}

/* Page-read callback of the WAL reader. */
static int
read_page(XLogReaderState *state, XLogRecPtr page, int length, XLogRecPtr record,
		  char *buffer)
{
	if (page < decoder.log_start || page + length > decoder.log_end)
	{
		TimeLineID tli;
		XLogRecPtr end = wait_for_wal(state, page, length, &tli);
		WALReadError error;

		if (page + length > end)
			return -1;
		decoder.log_start = page;
		decoder.log_end = page; /* in case of an error */
		end = Min(end, page + READ_SIZE);
		if (!WALRead(state, decoder.log, page, end - page, tli, &error))
			WALReadRaiseError(&error);
		decoder.log_end = end;
	}
	length = Min(decoder.log_end - page, XLOG_BLCKSZ);
	memcpy(buffer, decoder.log + (page - decoder.log_start), length);
	return length;
}

/* The plugin writes into its own queue. */
static void
no_write(LogicalDecodingContext *ctx, XLogRecPtr lsn, TransactionId xid, bool last)
{
}

/* Decodes record after record, for ever. */
static void
decode(void)
{
	LogicalDecodingContext *ctx = decoder.ctx;

	XLogBeginRead(ctx->reader, MyReplicationSlot->data.restart_lsn);
	for (;;)
	{
		char *error = NULL;
		XLogRecord *record = XLogReadRecord(ctx->reader, &error);

		if (record == NULL)
			elog(ERROR, "could not read WAL behind %X/%X: %s",
				 LSN_FORMAT_ARGS(ctx->reader->EndRecPtr), error ? error : "no record");
		derive_decode_record(ctx);
		CurrentResourceOwner = decoder.owner;
		pg_atomic_write_u64(&decoder.pipeline->received_lsn, ctx->reader->EndRecPtr);
		serve(ctx->reader->EndRecPtr, ctx->reader->EndRecPtr);
	}
}

/* ---------- start and end ---------- */

/* Allows this process the plugin: preloading the library was the administrator's consent. */
static void
allow_plugin(void)
{
	const char *list = GetConfigOption(PLUGIN_LIST_SETTING, true, false);

	if (list == NULL)
		return;
	SetConfigOption(PLUGIN_LIST_SETTING,
					list[0] == '\0' ? DERIVE_PLUGIN_NAME
									: psprintf("%s, %s", list, DERIVE_PLUGIN_NAME),
					PGC_SIGHUP, PGC_S_OVERRIDE);
}

/* Attaches to the segment; returns false if the applier has ended already. */
static bool
attach(dsm_handle handle)
{
	shm_mq *mq;

	decoder.context = AllocSetContextCreate(TopMemoryContext, "pg_derive decoder",
											ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(decoder.context);
	decoder.owner = ResourceOwnerCreate(NULL, "pg_derive decoder");
	CurrentResourceOwner = decoder.owner;
	decoder.dsm = dsm_attach(handle);
	if (decoder.dsm == NULL)
		return false;
	dsm_pin_mapping(decoder.dsm);
	decoder.segment = dsm_segment_address(decoder.dsm);
	decoder.pipeline = &derive_shared->pipelines[decoder.segment->pipeline];
	decoder.nap = MIN_NAP;
	decoder.log = palloc(READ_SIZE);

	mq = STREAM_QUEUE(decoder.segment);
	shm_mq_set_sender(mq, MyProc);
	decoder.queue = derive_queue_attach(shm_mq_attach(mq, decoder.dsm, NULL),
										decoder.pipeline, wait_for_queue,
										decoder.context);
	return true;
}

/* Makes ready for decoding, gets the slot and decodes. */
static void
run(void)
{
	XLogReaderRoutine routine = {.page_read = read_page,
								 .segment_open = open_segment,
								 .segment_close = wal_segment_close};
	XLogRecPtr start_lsn = decoder.segment->start_lsn;
	bool created;

	DERIVE_STEP("decoder-start");
	allow_plugin();
	decoder.map = derive_map_create(decoder.context);
	decoder.watch = derive_watch_create(decoder.context);
	derive_plugin_use(decoder.queue, decoder.map, decoder.watch, decoder.segment->secret);

	pgstat_report_activity(STATE_RUNNING, "acquiring the replication slot");
	created = derive_slot_acquire(decoder.pipeline, &routine, nap);
	CurrentResourceOwner = decoder.owner;
	if (created || start_lsn < MyReplicationSlot->data.confirmed_flush)
		start_lsn = MyReplicationSlot->data.confirmed_flush;
	decoder.ctx = CreateDecodingContext(start_lsn, NIL, false, &routine, no_write,
										no_write, NULL);

	decoder.answered = decoder.segment->first_request;
	decoder.start_lsn = start_lsn;
	pg_atomic_write_u64(&decoder.pipeline->confirmed_lsn, start_lsn);
	derive_wire_put_hello(&decoder.queue->buffer, start_lsn, created);
	derive_queue_flush(decoder.queue);
	adopt_interest();
	decoder.streaming = true;
	pgstat_report_activity(STATE_RUNNING, "decoding");
	/* what is shown stays; its update in each transaction of the reorder buffer would cost */
	SetConfigOption("track_activities", "off", PGC_SUSET, PGC_S_OVERRIDE);
	decode();
}

/* Leaves an error's text for the applier. */
static void
leave_last_words(const ErrorData *error)
{
	StreamSegment *segment = decoder.segment;

	strlcpy(segment->message, error->message ? error->message : "", STREAM_TEXT_LEN);
	strlcpy(segment->detail, error->detail ? error->detail : "", STREAM_TEXT_LEN);
	strlcpy(segment->hint, error->hint ? error->hint : "", STREAM_TEXT_LEN);
	pg_write_barrier();
	segment->sqlstate = error->sqlerrcode;
}

/* Runs, and tells the applier why it ends. */
static void
run_and_report(void)
{
	PG_TRY();
	{
		run();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(decoder.context);
		leave_last_words(CopyErrorData());
		if (decoder.abandon && MyReplicationSlot != NULL)
			derive_slot_abandon();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

void
derive_decoder_main(Datum arg)
{
	derive_process_start();
	if (!attach(DatumGetUInt32(arg)))
		return;
	BackgroundWorkerInitializeConnectionByOid(decoder.segment->dboid, InvalidOid, 0);
	derive_process_override_settings();
	MemoryContextSwitchTo(decoder.context);
	CurrentResourceOwner = decoder.owner;
	while (!derive_pipeline_join(decoder.pipeline, ROLE_DECODER))
		nap(); /* a predecessor is about to end */
	run_and_report();
}
