/*-------------------------------------------------------------------------
 *
 * processor_worker.c
 *	  The worker that runs the handlers of processors.
 *
 * One per database, and only while there is a processor that is not paused.  The applier
 * starts it, and again when it has ended; it does not depend on the applier, which writes
 * the outboxes, nor does the applier ever wait for it.  What it knows is in the database:
 * it may die anywhere.
 *
 * It goes round the processors, a slice of events each (publish/processor.c), and sleeps on
 * the condition variable that the applier broadcasts after each tick, until events were
 * written, one that failed is due, or the catalog has changed.  Its commits count and wake as
 * users' do.
 *
 * An error that is no handler's (a processor's owner lost a right, the disk is full) lets that
 * processor rest for a while.  derive_state.processor_failure says so for as long, if it can be
 * written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "worker/processor_worker.h"

#include <signal.h>

#include "access/xact.h"
#include "base/clock.h"
#include "base/step.h"
#include "base/wait_event.h"
#include "catalog/view_catalog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "publish/processor.h"
#include "shared/process.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define PROCESSOR_TYPE "pg_derive processor"
#define PROCESSOR_FUNCTION "derive_processor_worker_main"
#define SHORT_LIFE 5000		/* ms; a worker that ends sooner has failed */
#define RESTART_FIRST 100L	/* ms, after the first failure */
#define RESTART_DOUBLINGS 9 /* up to about a minute */
#define LOOK_EVERY 60000	/* ms */

/* A processor, and when to go on with it after an error. */
typedef struct Turn
{
	CatalogProcessor *row;
	Processor *processor;
	int64 not_before; /* as by derive_clock_ms */
	int failures;	  /* in a row */
} Turn;

static Pipeline *pipeline;
static MemoryContext catalog_context; /* holds turns */
static MemoryContext run_context;	  /* reset after each turn */
static List *turns = NIL;			  /* of Turn */

/* ---------- the catalog ---------- */

/* Reads which processors there are; ends the process if there are none. */
static void
read_catalog(void)
{
	ListCell *lc;
	List *rows = NIL;

	foreach (lc, turns)
		derive_processor_free(((Turn *) lfirst(lc))->processor);
	turns = NIL;
	MemoryContextReset(catalog_context);

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(catalog_context);
	if (derive_catalog_extension_exists())
		rows = derive_catalog_read_processors();
	foreach (lc, rows)
	{
		Turn *turn = MemoryContextAllocZero(catalog_context, sizeof(Turn));

		derive_catalog_seize_consumer(lfirst(lc));
		MemoryContextSwitchTo(catalog_context);
		turn->row = lfirst(lc);
		turn->processor = derive_processor_make(turn->row);
		turns = lappend(turns, turn);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(run_context);
	if (turns == NIL)
		proc_exit(0);
}

/* ---------- turns ---------- */

/* Reports the error at hand, ends its transaction, and returns its message. */
static char *
end_error(void)
{
	ErrorData *caught;

	MemoryContextSwitchTo(run_context);
	HOLD_INTERRUPTS();
	caught = CopyErrorData();
	EmitErrorReport();
	AbortCurrentTransaction();
	FlushErrorState();
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(run_context);
	return caught->message;
}

/* Notes that a processor rests for so many ms, or, reason NULL, that it runs again. */
static void
note(Turn *turn, int64 ms, const char *reason)
{
	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (reason != NULL)
			derive_catalog_processor_failed(turn->row, turn->failures, ms, reason);
		else
			derive_catalog_processor_mended(turn->row);
		PopActiveSnapshot();
		CommitTransactionCommand();
		turn->row->failed = reason != NULL;
	}
	PG_CATCH();
	{
		(void) end_error(); /* the log has it */
	}
	PG_END_TRY();
}

/* Lets a processor rest after an error, which has just been caught. */
static void
rest(Turn *turn)
{
	char *reason = end_error();
	int64 ms = 1000L << Min(turn->failures, RESTART_DOUBLINGS);

	turn->failures++;
	turn->not_before = derive_clock_ms() + ms;
	note(turn, ms, reason);
}

/*
 * Runs a processor for a while; returns true if there may be more to do at once, else
 * look_at: when, as by derive_clock_ms, or 0.
 */
static bool
take_turn(Turn *turn, int64 *look_at)
{
	volatile bool more = false;

	PG_TRY();
	{
		TimestampTz due;

		more = derive_processor_run(turn->processor, &due);
		*look_at = due == 0
					   ? 0
					   : derive_clock_ms() +
							 TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due);
		turn->failures = 0;
	}
	PG_CATCH();
	{
		rest(turn);
		*look_at = turn->not_before;
	}
	PG_END_TRY();
	if (turn->failures == 0 && turn->row->failed)
		note(turn, 0, NULL);
	MemoryContextSwitchTo(run_context);
	MemoryContextReset(run_context);
	return more;
}

/* Gives every processor a turn; returns when to do so again, as by derive_clock_ms; 0: at once. */
static int64
take_turns(void)
{
	int64 now = derive_clock_ms();
	int64 next = now + LOOK_EVERY;
	bool more = false;
	ListCell *lc;

	foreach (lc, turns)
	{
		Turn *turn = lfirst(lc);
		int64 look_at = turn->not_before;

		CHECK_FOR_INTERRUPTS();
		if (look_at <= now)
			more |= take_turn(turn, &look_at);
		if (look_at != 0)
			next = Min(next, look_at);
	}
	return more ? 0 : next;
}

/* ---------- the process ---------- */

/* Sleeps until there may be something to do. */
static void
sleep_until(int64 until, uint64 events, uint64 version)
{
	ConditionVariablePrepareToSleep(&pipeline->tick_cv);
	while (pg_atomic_read_u64(&pipeline->events) == events &&
		   pg_atomic_read_u64(&pipeline->catalog_version) == version)
	{
		long ms = derive_clock_until(until);

		if (ms == 0)
			break;
		(void) ConditionVariableTimedSleep(&pipeline->tick_cv, ms,
										   derive_wait_event(WAIT_PROCESSOR_MAIN));
		CHECK_FOR_INTERRUPTS();
		derive_process_reload();
	}
	ConditionVariableCancelSleep();
}

/* Runs processors for ever. */
static void
run(void)
{
	uint64 version_read = pg_atomic_read_u64(&pipeline->catalog_version);

	read_catalog();
	for (;;)
	{
		uint64 events = pg_atomic_read_u64(&pipeline->events);
		uint64 version = pg_atomic_read_u64(&pipeline->catalog_version);
		int64 next;

		pg_memory_barrier();
		CHECK_FOR_INTERRUPTS();
		derive_process_reload();
		if (version != version_read)
		{
			version_read = version;
			read_catalog();
		}
		pgstat_report_activity(STATE_RUNNING, "calling the handlers of processors");
		next = take_turns();
		(void) pgstat_report_stat(next != 0);
		if (next == 0)
			continue;
		pgstat_report_activity(STATE_IDLE, NULL);
		sleep_until(next, events, version);
	}
}

/*
 * Main function of the worker; the argument is the database's oid.
 */
void
derive_processor_worker_main(Datum arg)
{
	Oid dboid = DatumGetObjectId(arg);

	derive_process_start_as_writer();
	pipeline = derive_pipeline_find(dboid);
	if (pipeline == NULL || pipeline->hold ||
		!derive_pipeline_join(pipeline, ROLE_PROCESSOR))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	derive_process_override_settings();
	SetConfigOption("pg_derive.request_id", "", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("row_security", "on", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("session_replication_role", "origin", PGC_SUSET, PGC_S_OVERRIDE);
	pgstat_report_appname(PROCESSOR_TYPE);
	catalog_context = AllocSetContextCreate(TopMemoryContext, "pg_derive processors",
											ALLOCSET_DEFAULT_SIZES);
	run_context = AllocSetContextCreate(TopMemoryContext, "pg_derive turn",
										ALLOCSET_DEFAULT_SIZES);
	DERIVE_STEP("processor-start");
	run();
}

/* ---------- starting it, in the applier ---------- */

/* Registers the worker with the postmaster; returns false if there is no room for it. */
static bool
start(Oid dboid, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_derive", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, PROCESSOR_FUNCTION, BGW_MAXLEN);
	strlcpy(worker.bgw_type, PROCESSOR_TYPE, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s of database %u", PROCESSOR_TYPE, dboid);
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* Says whether the process that an entry names as the worker runs, whoever started it. */
static bool
is_running(Pipeline *p)
{
	pid_t pid;

	SpinLockAcquire(&p->mutex);
	pid = p->processor_pid;
	SpinLockRelease(&p->mutex);
	return pid != 0 && kill(pid, 0) == 0;
}

long
derive_processor_worker_tend(Pipeline *p, bool wanted)
{
	static BackgroundWorkerHandle *handle = NULL;
	static int64 started_at = 0; /* as by derive_clock_ms */
	static int64 next_start = 0;
	static int failures = 0;
	int64 now = derive_clock_ms();
	pid_t pid;

	if (handle != NULL && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
	{
		pfree(handle);
		handle = NULL;
		failures = now >= started_at + SHORT_LIFE ? 0 : failures + 1;
		next_start = now;
		if (failures > 0)
			next_start += RESTART_FIRST << Min(failures - 1, RESTART_DOUBLINGS);
	}
	if (!wanted || handle != NULL)
		return LOOK_EVERY;
	if (is_running(p)) /* a former applier's; it wakes this one when it ends */
		return LOOK_EVERY;
	if (next_start > now)
		return (long) (next_start - now);
	started_at = now;
	if (!start(p->dboid, &handle))
	{
		handle = NULL;
		next_start = now + LOOK_EVERY;
		ereport(WARNING,
				(errmsg("no background worker is free for the processors of pg_derive"),
				 errhint("Raise max_worker_processes in postgresql.conf and restart the "
						 "server.")));
	}
	return LOOK_EVERY;
}
