/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The worker that keeps one applier per database running.
 *
 * A static background worker, connected to no database: it reads shared catalogs
 * only, so it cannot know which databases have the extension.  It probes: it reserves
 * an entry for one database after the other and starts an applier in it, which gives
 * the entry back and ends if the extension is not there.  So entries are held by
 * databases with the extension only, however many others there are.  Databases with a
 * slot of ours come first.  Later, CREATE EXTENSION asks for a probe of its database,
 * and CREATE DATABASE for one of all databases not seen yet.
 *
 * An applier that ends is started again at once if it lived for SHORT_LIFE, soon if it
 * ticked before it ended, else ever later.  Nothing is lost if the launcher itself ends: what
 * is wanted stands in the entries, and a new launcher leaves appliers that run alone.
 *
 * The launcher sleeps on its latch, which every change of an entry sets, as does the
 * postmaster when a worker has started or ended.  All its own state is in memory that
 * lives as long as the process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "worker/launcher.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/clock.h"
#include "base/settings.h"
#include "base/wait_event.h"
#include "capture/stream.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "replication/slot.h"
#include "shared/pipeline.h"
#include "shared/process.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define SHORT_LIFE 1000 /* ms; an applier that ends sooner counts as a failure to start */
#define SHORT_PAUSE 200 /* ms, after one that ended that soon but has ticked */
#define MAX_BACKOFF 60	/* s */
#define PROBE_TIME 3000 /* ms; then the next database is probed, whatever happens */
#define HOLD_WAIT 10000 /* ms */
#define HOLD_POLL 1000	/* ms; is the process that holds still there? */
#define SHED_POLL 10000 /* ms; do slots that nobody reads retain too much? */
#define ADOPTED_POLL 5000 /* ms; an applier of another launcher cannot notify this one */

#define APPLIER_TYPE "pg_derive applier"
#define LAUNCHER_TYPE "pg_derive launcher"

/* An applier that this launcher has started. */
typedef struct Worker
{
	Oid dboid;
	BackgroundWorkerHandle *handle;
	int64 started_at;	 /* as by derive_clock_ms */
	uint64 ticks_before; /* counted by earlier appliers */
	bool again;			 /* CREATE EXTENSION came after its start: if it finds nothing,
								 * probe again */
} Worker;

static List *workers = NIL;	   /* of Worker */
static List *unprobed = NIL;   /* oids of databases to be probed, in this order */
static List *seen = NIL;	   /* oids of databases that have been in unprobed */
static bool told_full = false; /* the log says that all entries are in use */

/* ---------- databases ---------- */

/* Returns true if a database has a slot of ours, and so has or had the extension. */
static bool
has_slot(Oid dboid)
{
	char *name = derive_stream_slot_name(dboid);
	bool found = SearchNamedReplicationSlot(name, true) != NULL;

	pfree(name);
	return found;
}

/* Puts a database on the list to be probed. */
static void
want_probe(Oid dboid, bool first)
{
	seen = list_append_unique_oid(seen, dboid);
	if (list_member_oid(unprobed, dboid))
		return;
	unprobed = first ? lcons_oid(dboid, unprobed) : lappend_oid(unprobed, dboid);
}

/* Puts every database that can be connected to and has not been seen on the list. */
static void
find_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		/* a connection limit below -1 marks a database that is being dropped */
		if (!database->datallowconn || database->datistemplate ||
			database->datconnlimit < -1 || list_member_oid(seen, database->oid))
			continue;
		old = MemoryContextSwitchTo(context);
		want_probe(database->oid, has_slot(database->oid));
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* Returns true if a database exists. */
static bool
database_exists(Oid dboid)
{
	MemoryContext context = CurrentMemoryContext;
	bool exists;

	StartTransactionCommand();
	exists = SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(dboid));
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return exists;
}

/* ---------- workers ---------- */

/* Returns this launcher's worker for a database, or NULL. */
static Worker *
find_worker(Oid dboid)
{
	ListCell *lc;

	foreach (lc, workers)
		if (((Worker *) lfirst(lc))->dboid == dboid)
			return lfirst(lc);
	return NULL;
}

/* Sets whether an entry's applier is to be kept running. */
static void
set_wanted(Pipeline *p, bool wanted)
{
	LWLockAcquire(derive_shared->lock, LW_EXCLUSIVE);
	p->wanted = wanted;
	LWLockRelease(derive_shared->lock);
}

/* Counts a failure of an entry's applier and says when to start it again. */
static void
back_off(Pipeline *p)
{
	int seconds = 0;

	LWLockAcquire(derive_shared->lock, LW_EXCLUSIVE);
	p->start_failures++;
	if (p->start_failures > 1)
		seconds = Min(1 << Min(p->start_failures - 2, 10), MAX_BACKOFF);
	p->next_start = derive_clock_ms() + seconds * 1000;
	LWLockRelease(derive_shared->lock);
}

/* Forgets the failures of an entry, whose applier may start again after a pause in ms. */
static void
forgive(Pipeline *p, int pause)
{
	LWLockAcquire(derive_shared->lock, LW_EXCLUSIVE);
	p->start_failures = 0;
	p->next_start = derive_clock_ms() + pause;
	LWLockRelease(derive_shared->lock);
}

/* Starts an applier; without room for it the entry says so and is tried again. */
static void
start_worker(Pipeline *p)
{
	BackgroundWorker registration;
	Worker *worker = palloc0(sizeof(Worker));

	memset(&registration, 0, sizeof(registration));
	registration.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	registration.bgw_start_time = BgWorkerStart_RecoveryFinished;
	registration.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(registration.bgw_library_name, "pg_derive", BGW_MAXLEN);
	strlcpy(registration.bgw_function_name, "derive_applier_main", BGW_MAXLEN);
	strlcpy(registration.bgw_type, APPLIER_TYPE, BGW_MAXLEN);
	snprintf(registration.bgw_name, BGW_MAXLEN, "%s of database %u", APPLIER_TYPE,
			 p->dboid);
	registration.bgw_main_arg = ObjectIdGetDatum(p->dboid);
	registration.bgw_notify_pid = MyProcPid;
	worker->dboid = p->dboid;
	worker->started_at = derive_clock_ms();
	worker->ticks_before = pg_atomic_read_u64(&p->ticks);
	if (RegisterDynamicBackgroundWorker(&registration, &worker->handle))
	{
		workers = lappend(workers, worker);
		return;
	}
	pfree(worker);
	back_off(p);
	derive_pipeline_set_state(p, PIPELINE_FAILED,
							  "no background worker is free; raise max_worker_processes");
}

/* Draws the consequences of an applier's end. */
static void
worker_ended(Worker *worker)
{
	Pipeline *p = derive_pipeline_find(worker->dboid);

	if (p != NULL && p->wanted)
	{
		if (p->hold || derive_clock_ms() >= worker->started_at + SHORT_LIFE)
			forgive(p, 0);
		else if (pg_atomic_read_u64(&p->ticks) != worker->ticks_before)
			forgive(p, SHORT_PAUSE);
		else
			back_off(p);
		if (p->state != PIPELINE_FAILED)
			derive_pipeline_set_state(p, PIPELINE_STOPPED, NULL);
	}
	else if (p != NULL)
		derive_pipeline_release(p);
	if (worker->again)
		want_probe(worker->dboid, true);
}

/* Finds out which appliers have ended. */
static void
reap_workers(void)
{
	ListCell *lc;

	foreach (lc, workers)
	{
		Worker *worker = lfirst(lc);
		pid_t pid;

		if (GetBackgroundWorkerPid(worker->handle, &pid) != BGWH_STOPPED)
			continue;
		workers = foreach_delete_current(workers, lc);
		worker_ended(worker);
		pfree(worker->handle);
		pfree(worker);
		told_full = false;
	}
}

/* ---------- entries ---------- */

/* Returns true if the applier that an entry names runs, whoever started it. */
static bool
applier_runs(Pipeline *p)
{
	pid_t pid;

	SpinLockAcquire(&p->mutex);
	pid = p->applier_pid;
	SpinLockRelease(&p->mutex);
	return pid != 0 && kill(pid, 0) == 0;
}

/* Ends a hold whose process has ended; returns true if the hold is still on. */
static bool
is_held(Pipeline *p)
{
	if (p->hold && p->hold_pid != 0 && kill(p->hold_pid, 0) != 0)
		derive_launcher_resume_database(p->dboid);
	return p->hold;
}

/*
 * Starts what an entry without an applier needs, or gives the entry back.  Returns how
 * long the launcher may sleep for this entry, in ms; -1: until it is woken.
 */
static long
tend_entry(Pipeline *p)
{
	long wait;

	if (is_held(p))
		return HOLD_POLL;
	if (find_worker(p->dboid) != NULL)
		return -1;
	if (applier_runs(p))
		return ADOPTED_POLL;
	if (!p->wanted || !database_exists(p->dboid))
	{
		derive_pipeline_release(p);
		return -1;
	}
	wait = derive_clock_until(p->next_start);
	if (wait > 0)
		return wait;
	start_worker(p);
	return find_worker(p->dboid) != NULL ? -1 : Max(1, derive_clock_until(p->next_start));
}

/* Returns the shorter of two times to sleep; -1 is for ever. */
static long
sooner(long a, long b)
{
	if (a < 0 || b < 0)
		return Max(a, b);
	return Min(a, b);
}

/* Tends all entries; returns how long the launcher may sleep. */
static long
tend_entries(void)
{
	long wait = -1;

	for (int i = 0; i < derive_shared->npipelines; i++)
		if (OidIsValid(derive_shared->pipelines[i].dboid))
			wait = sooner(wait, tend_entry(&derive_shared->pipelines[i]));
	return wait;
}

/* ---------- probes ---------- */

/* Takes up what commits have asked for. */
static void
take_requests(void)
{
	for (int i = 0; i < DERIVE_START_REQUESTS; i++)
	{
		Oid dboid = pg_atomic_exchange_u32(&derive_shared->start_requests[i], InvalidOid);
		Worker *worker = OidIsValid(dboid) ? find_worker(dboid) : NULL;

		if (worker != NULL)
			worker->again = true;
		else if (OidIsValid(dboid))
			want_probe(dboid, true);
	}
	if (pg_atomic_exchange_u32(&derive_shared->probe_wanted, 0) != 0)
		find_databases();
}

/* Returns how long a probe under way may still keep others waiting, in ms; 0: none. */
static long
probe_under_way(void)
{
	ListCell *lc;
	long wait = 0;

	foreach (lc, workers)
	{
		Worker *worker = lfirst(lc);
		Pipeline *p = derive_pipeline_find(worker->dboid);

		if (p == NULL || p->decoder_pid != 0 || p->state == PIPELINE_RUNNING)
			continue;
		wait = Max(wait, derive_clock_until(worker->started_at + PROBE_TIME));
	}
	return wait;
}

/* Says, once, that there are more databases than entries. */
static void
tell_full(void)
{
	if (told_full)
		return;
	told_full = true;
	ereport(
		LOG,
		(errmsg(
			 "%d databases are not looked at: all %d pipelines of pg_derive are in use",
			 list_length(unprobed), derive_shared->npipelines),
		 errhint("Raise pg_derive.database_workers and restart the server.")));
}

/* Reserves an entry for the next database to be probed; returns ms until it is its turn. */
static long
probe_next(void)
{
	while (unprobed != NIL)
	{
		Oid dboid = linitial_oid(unprobed);
		long wait = probe_under_way();
		Pipeline *p = derive_pipeline_find(dboid);

		if (p == NULL && wait > 0)
			return wait;
		if (p == NULL && (p = derive_pipeline_reserve(dboid)) == NULL)
		{
			tell_full();
			return -1;
		}
		unprobed = list_delete_first(unprobed);
		set_wanted(p, true);
		if (find_worker(dboid) == NULL)
			return sooner(tend_entry(p), unprobed == NIL ? -1 : PROBE_TIME);
	}
	return -1;
}

/* ---------- the process ---------- */

/* Takes the launcher's latch out of shared memory. */
static void
leave(int code, Datum arg)
{
	if (derive_shared->launcher_latch == &MyProc->procLatch)
		derive_shared->launcher_latch = NULL;
}

void
derive_launcher_main(Datum arg)
{
	derive_process_start();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	derive_process_override_settings();
	pgstat_report_appname(LAUNCHER_TYPE);
	MemoryContextSwitchTo(
		AllocSetContextCreate(TopMemoryContext, LAUNCHER_TYPE, ALLOCSET_DEFAULT_SIZES));
	derive_shared->launcher_latch = &MyProc->procLatch;
	on_shmem_exit(leave, (Datum) 0);
	find_databases();

	for (;;)
	{
		long wait;

		CHECK_FOR_INTERRUPTS();
		derive_process_reload();
		take_requests();
		reap_workers();
		wait = tend_entries();
		wait = sooner(wait, probe_next());
		if (derive_max_retained_wal > 0)
		{
			derive_stream_shed_idle();
			wait = sooner(wait, SHED_POLL);
		}
		(void) WaitLatch(
			MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (wait >= 0 ? WL_TIMEOUT : 0),
			wait, derive_wait_event(WAIT_LAUNCHER_MAIN));
		ResetLatch(MyLatch);
	}
}

void
derive_launcher_register(void)
{
	BackgroundWorker worker;

	if (IsBinaryUpgrade)
		return;
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pg_derive", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "derive_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_type, LAUNCHER_TYPE, BGW_MAXLEN);
	strlcpy(worker.bgw_name, LAUNCHER_TYPE, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* ---------- holding a database, from another backend ---------- */

/* Sets or ends a hold; returns the entry or NULL if there is none. */
static Pipeline *
set_hold(Oid dboid, bool hold)
{
	Pipeline *p = derive_pipeline_find(dboid);

	if (p == NULL)
		return NULL;
	LWLockAcquire(derive_shared->lock, LW_EXCLUSIVE);
	if (p->dboid == dboid)
	{
		p->hold = hold;
		p->hold_pid = hold ? MyProcPid : 0;
		p->next_start = 0;
		p->start_failures = 0;
	}
	LWLockRelease(derive_shared->lock);
	return p;
}

/* Asks all workers of an entry to end; returns false if there were none. */
static bool
terminate(Pipeline *p)
{
	pid_t pids[3];
	bool any = false;

	SpinLockAcquire(&p->mutex);
	pids[0] = p->applier_pid;
	pids[1] = p->decoder_pid;
	pids[2] = p->processor_pid;
	SpinLockRelease(&p->mutex);
	for (int i = 0; i < lengthof(pids); i++)
	{
		if (pids[i] != 0)
			kill(pids[i], SIGTERM);
		any |= pids[i] != 0;
	}
	return any;
}

void
derive_launcher_hold_database(Oid dboid)
{
	Pipeline *p = set_hold(dboid, true);
	int64 give_up = derive_clock_ms() + HOLD_WAIT;

	if (p == NULL)
		return;
	ConditionVariablePrepareToSleep(&p->tick_cv);
	while (terminate(p) && derive_clock_ms() < give_up)
		(void) ConditionVariableTimedSleep(&p->tick_cv, 100,
										   derive_wait_event(WAIT_DATABASE_HOLD));
	ConditionVariableCancelSleep();
}

void
derive_launcher_resume_database(Oid dboid)
{
	if (set_hold(dboid, false) != NULL)
		derive_pipeline_wake_launcher();
}
