/*-------------------------------------------------------------------------
 *
 * applier.c
 *	  The leader of a database's pipeline: starts the decoder, runs the ticks.
 *
 * The launcher starts one applier per database.  If the extension is not there
 * (any more), it removes the slot, gives its entry back and ends for good.
 * Otherwise it starts a decoder, waits for its first word, and then ticks:
 *  - at once when something was committed after a pause;
 *  - under load about every TICK_UNDER_LOAD ms, more when a tick costs more, so
 *    that work is shared and old row versions can be pruned;
 *  - for waiters, for views that were created or failed, and now and then when
 *    idle, so that the slot advances.
 * It sleeps on its latch, which the queue, commits that it waits for, waiters and
 * catalog changes set.
 *
 * Any error ends the process; the launcher starts it again, and the decoder, which
 * notices the queue's end, ends too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "audit/audit.h"
#include "base/clock.h"
#include "base/settings.h"
#include "base/wait_event.h"
#include "capture/stream.h"
#include "catalog/outbox_catalog.h"
#include "catalog/processor_catalog.h"
#include "catalog/view_catalog.h"
#include "maintain/gap.h"
#include "maintain/tick.h"
#include "publish/outbox.h"
#include "publish/requests.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "replication/slot.h"
#include "shared/pipeline.h"
#include "shared/process.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "worker/processor_worker.h"
#include "worker/workers.h"

#define TICK_UNDER_LOAD 10	/* ms between the starts of ticks */
#define LOAD_TRANSACTIONS 3 /* a batch of so many is load */
#define IDLE_TICK 10000		/* ms after which an idle pipeline advances its slot */
#define VISIBLE_WAIT 5		/* ms to wait for a commit to become visible */
#define CONFIRM_WAIT 200	/* ms between looks at the flush position */
/*
 * What a tick could not foresee fails its view instead of waiting.  It is much less than
 * deadlock_timeout, so that of a command and a tick that wait for each other the tick gives
 * up, and the command is not told of a deadlock.
 */
#define LOCK_TIMEOUT "300ms"
#define FORGET_WAIT 10000  /* ms between looks for requests to forget */
#define KEPT_WAIT_MAX 1000 /* ms between ticks while transactions are kept */

typedef struct Pace
{
	int64 last_start;		 /* of the last tick, as by derive_clock_ms */
	long cost_ms;			 /* of the last tick */
	int64 transactions;		 /* of the last tick */
	int kept_wait;			 /* ms, doubles while nothing happens */
	int64 visible_since;	 /* waiting for the next commit to become visible since */
	long look_at_processors; /* ms until their worker needs to be looked after */
	int64 forget_at;		 /* next look for requests to forget */
} Pace;

static Pipeline *pipeline;
static bool processors_wanted = false;	/* there are some, not paused */
static uint8 secret[DERIVE_SECRET_LEN]; /* by which our messages in the log are known */
static bool secret_known = false;

/* Sets what the applier, and it alone, needs to be so. */
static void
override_settings(void)
{
	derive_process_override_settings();
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("row_security", "on", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("session_replication_role", "origin", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_OVERRIDE);
}

/*
 * Says whether the extension that this process serves is installed in this database, and notes
 * if it has processors.  One that was dropped and created again in a transaction is another.
 */
static bool
extension_exists(void)
{
	bool exists;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	exists = derive_catalog_extension_exists();
	if (exists)
	{
		uint8 *key;

		derive_catalog_check_version();
		key = derive_catalog_secret();
		if (!secret_known)
			memcpy(secret, key, DERIVE_SECRET_LEN);
		secret_known = true;
		exists = memcmp(secret, key, DERIVE_SECRET_LEN) == 0;
	}
	processors_wanted = exists && derive_catalog_read_processors() != NIL;
	PopActiveSnapshot();
	CommitTransactionCommand();
	return exists;
}

/* Gives everything back because the extension is not there (any more), and ends the process. */
static void
retire(ChangeStream *stream)
{
	char *slot = derive_stream_slot_name(MyDatabaseId);

	if (stream != NULL)
		derive_stream_stop(stream);
	StartTransactionCommand();
	if (SearchNamedReplicationSlot(slot, true) != NULL)
		ReplicationSlotDrop(slot, false);
	CommitTransactionCommand();

	derive_pipeline_release(pipeline);
	proc_exit(0);
}

/* Handles what a sleep may have brought. */
static void
service(void)
{
	CHECK_FOR_INTERRUPTS();
	derive_process_reload();
}

/* Sleeps until the latch is set or the time is over. */
static void
sleep_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 derive_wait_event(WAIT_APPLIER_MAIN));
	ResetLatch(MyLatch);
	service();
}

/* Notes changes of the catalog; retires if the extension went. */
static void
follow_catalog(Maintainer *m, uint64 *seen)
{
	uint64 version = pg_atomic_read_u64(&pipeline->catalog_version);

	if (version == *seen)
		return;
	*seen = version;
	if (!extension_exists())
		retire(m->stream);
	m->views->catalog_changed = true;
}

/* Starts the decoder and waits for its first word, however long that takes. */
static void
start_stream(Maintainer *m, uint64 *catalog_seen)
{
	StreamRecord hello;

	if (m->gap != NULL)
	{
		derive_maintainer_set_all_stale(m, m->gap, 1);
		derive_stream_slot_drop(MyDatabaseId);
		m->gap = NULL; /* it has been told */
	}
	derive_maintainer_attach_stream(
		m, derive_stream_start(pipeline, m->unconfirmed_lsn,
							   derive_view_set_interest(m->views),
							   m->views->interest_version, secret));
	m->unconfirmed_lsn = InvalidXLogRecPtr;
	while (!derive_stream_next(m->stream, &hello, false))
	{
		sleep_ms(IDLE_TICK);
		follow_catalog(m, catalog_seen);
	}
	Assert(hello.kind == STREAM_HELLO);
	if (hello.slot_created)
		derive_maintainer_set_all_stale(m, DERIVE_GAP_NO_SLOT, hello.lsn);
	pg_atomic_write_u32(&pipeline->shed, 0);
	derive_pipeline_set_state(pipeline, PIPELINE_RUNNING, "");
}

/*
 * Waits, briefly, until the next transaction of the stream is visible, so that it
 * need not be deferred: a commit is flushed, and decoded, before its backend leaves
 * the proc array.  Returns false if the caller should look again.
 */
static bool
next_is_visible(const StreamRecord *record, Pace *pace)
{
	if (record->kind != STREAM_BEGIN || !TransactionIdIsInProgress(record->xid))
		return true;
	if (pace->visible_since == 0)
		pace->visible_since = derive_clock_ms();
	else if (derive_clock_ms() >= pace->visible_since + VISIBLE_WAIT)
		return true;
	pg_atomic_write_u32(&pipeline->want_visible, 1);
	pg_memory_barrier();
	if (TransactionIdIsInProgress(record->xid))
		sleep_ms(VISIBLE_WAIT);
	return false;
}

/* Returns the least time between the starts of two ticks, in ms. */
static long
tick_distance(const Pace *pace)
{
	long distance = 0;

	if (pace->transactions >= LOAD_TRANSACTIONS)
		distance = Max(TICK_UNDER_LOAD, 2 * pace->cost_ms);
	return Max(distance, derive_tick_interval);
}

/* Notes since when a change waits to be applied, for the lag that is shown. */
static void
note_pending(const StreamRecord *record)
{
	if (record->kind != STREAM_BEGIN)
		return;
	SpinLockAcquire(&pipeline->mutex);
	if (pipeline->oldest_pending == 0)
		pipeline->oldest_pending = record->commit_time;
	SpinLockRelease(&pipeline->mutex);
}

/* Runs a tick and takes its measure. */
static void
tick(Maintainer *m, Pace *pace, TickResult *result)
{
	instr_time start, elapsed;

	pg_atomic_write_u32(&pipeline->want_visible, 0);
	INSTR_TIME_SET_CURRENT(start);
	pace->last_start = derive_clock_ms();
	pgstat_report_activity(STATE_RUNNING, "maintaining derived views");
	derive_tick_run(m, result);
	pgstat_report_activity(STATE_IDLE, NULL);
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, start);
	pace->cost_ms = (long) INSTR_TIME_GET_MILLISEC(elapsed);
	pace->transactions = result->transactions;
	pace->visible_since = 0;
	if (result->transactions > 0 || result->again)
		pace->kept_wait = VISIBLE_WAIT;
	else
		pace->kept_wait = Min(pace->kept_wait * 2, KEPT_WAIT_MAX);
	if (derive_log_ticks)
		ereport(LOG, (errmsg("tick: " INT64_FORMAT " transactions, " INT64_FORMAT
							 " changes, " INT64_FORMAT " deferred, " INT64_FORMAT " us",
							 result->transactions, result->changes, result->deferred,
							 (int64) INSTR_TIME_GET_MICROSEC(elapsed)),
					  errhidestmt(true)));
}

/* Says whether somebody or something asks for a tick now. */
static bool
tick_is_asked(Maintainer *m, const TickResult *last)
{
	int64 due = derive_tick_next_due(m);

	return last->again ||
		   pg_atomic_read_u64(&pipeline->tick_request) !=
			   pg_atomic_read_u64(&pipeline->tick_done) ||
		   pg_atomic_read_u64(&pipeline->frontier_request) != m->frontier_request_done ||
		   derive_view_set_has_invalidations() || m->views->catalog_changed ||
		   (due != 0 && due <= derive_clock_ms());
}

/* Forgets a few old requests, if it is time. */
static void
forget_requests(Pace *pace)
{
	bool more;

	if (derive_clock_until(pace->forget_at) > 0)
		return;
	more = derive_requests_forget();
	pace->forget_at = derive_clock_ms() + (more ? 0 : FORGET_WAIT);
}

/* Returns how long the applier may sleep if nothing sets its latch, in ms. */
static long
sleep_time(Maintainer *m, const Pace *pace, const TickResult *last, bool unconfirmed)
{
	long ms = IDLE_TICK;
	int64 due = derive_tick_next_due(m);

	if (derive_batch_has_kept(m->batch) || last->behind)
		ms = Min(ms, pace->kept_wait);
	if (unconfirmed)
		ms = Min(ms, CONFIRM_WAIT);
	if (due != 0)
		ms = Min(ms, derive_clock_until(due));
	ms = Min(ms, derive_clock_until(pace->forget_at));
	ms = Min(ms, pace->look_at_processors);
	return Max(ms, 1);
}

/* Ticks for ever. */
static void
run(Maintainer *m, uint64 catalog_seen)
{
	Pace pace = {0};
	TickResult last = {0};
	StreamRecord record;

	pace.kept_wait = VISIBLE_WAIT;
	last.again = true;
	for (;;)
	{
		bool unconfirmed;
		bool pending;
		bool due;
		long wait;

		service();
		follow_catalog(m, &catalog_seen);
		forget_requests(&pace);
		pace.look_at_processors = derive_processor_worker_tend(pipeline,
															   processors_wanted);
		unconfirmed = derive_tick_confirm(m);
		pending = derive_stream_peek(m->stream, &record);
		if (pending)
			note_pending(&record);
		due = pending || tick_is_asked(m, &last) ||
			  derive_clock_ms() >= pace.last_start + Max(IDLE_TICK, derive_tick_interval);
		if (!due && (derive_batch_has_kept(m->batch) || last.behind))
			due = derive_clock_ms() >= pace.last_start + pace.kept_wait;
		if (!due)
		{
			if (derive_batch_has_kept(m->batch))
				pg_atomic_write_u32(&pipeline->want_visible, 1);
			sleep_ms(sleep_time(m, &pace, &last, unconfirmed));
			continue;
		}
		wait = derive_clock_until(pace.last_start + tick_distance(&pace));
		if (wait > 0)
			sleep_ms(wait);
		else if (!pending || next_is_visible(&record, &pace))
			tick(m, &pace, &last);
	}
}

/*
 * Main function of the applier; the argument is the database's oid.
 */
void
derive_applier_main(Datum arg)
{
	Oid dboid = DatumGetObjectId(arg);
	uint64 catalog_seen;
	MemoryContext context;

	derive_process_start();
	pipeline = derive_pipeline_find(dboid);
	if (pipeline == NULL || !derive_pipeline_join(pipeline, ROLE_APPLIER) ||
		pipeline->hold)
		proc_exit(0);
	derive_pipeline_set_state(pipeline, PIPELINE_STARTING, "");
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	override_settings();
	context = AllocSetContextCreate(TopMemoryContext, "pg_derive applier",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	PG_TRY();
	{
		Maintainer *m;

		catalog_seen = pg_atomic_read_u64(&pipeline->catalog_version);
		if (!extension_exists())
			retire(NULL);
		m = derive_maintainer_create(pipeline, derive_outbox_publisher());
		m->audit = derive_audit_tick;
		start_stream(m, &catalog_seen);
		run(m, catalog_seen);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		derive_pipeline_set_state(pipeline, PIPELINE_FAILED, error->message);
		PG_RE_THROW();
	}
	PG_END_TRY();
}
