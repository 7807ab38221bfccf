/*-------------------------------------------------------------------------
 *
 * pipeline.c
 *	  The shared memory of pg_derive: one entry per database with a pipeline.
 *
 * The array is sized once, at server start, by pg_derive.database_workers.  The
 * launcher and CREATE EXTENSION reserve entries; the applier releases its own when
 * it finds that its database has no extension (any more), the launcher those that
 * nobody serves.  pipeline.h says which lock covers what.
 *
 * async_in_flight survives the release of an entry: every backend takes out of an
 * entry what it has put in, even if the entry belongs to another database by then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared/pipeline.h"

#include <signal.h>

#include "base/settings.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "mb/pg_wchar.h"
#include "storage/shmem.h"

#define SHMEM_NAME "pg_derive"

DeriveShared *derive_shared = NULL;

static shmem_request_hook_type previous_request = NULL;
static shmem_startup_hook_type previous_startup = NULL;

/* Returns the bytes of shared memory that the settings ask for. */
static Size
shared_size(void)
{
	return add_size(offsetof(DeriveShared, pipelines),
					mul_size(derive_database_workers, sizeof(Pipeline)));
}

/* Asks the server for shared memory and a lock tranche. */
static void
request_shared(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(SHMEM_NAME, 1);
}

/* Prepares an entry for its first use. */
static void
init_entry(Pipeline *p)
{
	memset(p, 0, sizeof(Pipeline));
	SpinLockInit(&p->mutex);
	ConditionVariableInit(&p->tick_cv);
	pg_atomic_init_u64(&p->async_in_flight, 0);
	pg_atomic_init_u64(&p->async_lsn, 0);
	pg_atomic_init_u32(&p->want_visible, 0);
	pg_atomic_init_u64(&p->catalog_version, 0);
	pg_atomic_init_u64(&p->commits, 0);
	pg_atomic_init_u64(&p->tick_request, 0);
	pg_atomic_init_u64(&p->tick_done, 0);
	pg_atomic_init_u64(&p->wait_lsn, 0);
	pg_atomic_init_u32(&p->shed, 0);
	pg_atomic_init_u64(&p->target_lsn, 0);
	pg_atomic_init_u64(&p->target_request, 0);
	pg_atomic_init_u64(&p->confirm_lsn, 0);
	pg_atomic_init_u64(&p->received_lsn, 0);
	pg_atomic_init_u64(&p->applied_lsn, 0);
	pg_atomic_init_u64(&p->confirmed_lsn, 0);
	pg_atomic_init_u64(&p->transactions, 0);
	pg_atomic_init_u64(&p->changes, 0);
	pg_atomic_init_u64(&p->ticks, 0);
	pg_atomic_init_u64(&p->progress_rows, 0);
	pg_atomic_init_u64(&p->events, 0);
	pg_atomic_init_u64(&p->queue_bytes, 0);
}

/* Attaches to the shared memory, and fills it in the first process. */
static void
start_shared(void)
{
	bool found;

	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	derive_shared = ShmemInitStruct(SHMEM_NAME, shared_size(), &found);
	if (!found)
	{
		derive_shared->lock = &GetNamedLWLockTranche(SHMEM_NAME)->lock;
		derive_shared->launcher_latch = NULL;
		pg_atomic_init_u32(&derive_shared->generation, 1);
		for (int i = 0; i < DERIVE_START_REQUESTS; i++)
			pg_atomic_init_u32(&derive_shared->start_requests[i], InvalidOid);
		pg_atomic_init_u32(&derive_shared->probe_wanted, 0);
		derive_shared->npipelines = derive_database_workers;
		for (int i = 0; i < derive_database_workers; i++)
			init_entry(&derive_shared->pipelines[i]);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Installs the hooks; called while shared_preload_libraries are loaded. */
void
derive_pipeline_init(void)
{
	previous_request = shmem_request_hook;
	shmem_request_hook = request_shared;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = start_shared;
}

/* Returns the entry with this oid (InvalidOid: a free one) or NULL; expects lock. */
static Pipeline *
find_entry(Oid dboid)
{
	for (int i = 0; i < derive_shared->npipelines; i++)
		if (derive_shared->pipelines[i].dboid == dboid)
			return &derive_shared->pipelines[i];
	return NULL;
}

/* Returns a database's entry, or NULL. */
Pipeline *
derive_pipeline_find(Oid dboid)
{
	Pipeline *p;

	if (derive_shared == NULL)
		return NULL;
	LWLockAcquire(derive_shared->lock, LW_SHARED);
	p = find_entry(dboid);
	LWLockRelease(derive_shared->lock);
	return p;
}

/* Returns true if a database has an entry or could get one now. */
bool
derive_pipeline_has_room(Oid dboid)
{
	bool room;

	if (derive_shared == NULL)
		return false;
	LWLockAcquire(derive_shared->lock, LW_SHARED);
	room = find_entry(dboid) != NULL || find_entry(InvalidOid) != NULL;
	LWLockRelease(derive_shared->lock);
	return room;
}

/* Makes a free entry that of a database; expects lock. */
static void
take_entry(Pipeline *p, Oid dboid)
{
	p->wanted = false;
	p->hold = false;
	p->hold_pid = 0;
	p->next_start = 0;
	p->start_failures = 0;
	p->state = PIPELINE_STOPPED;
	p->reason[0] = '\0';
	p->applier_pid = 0;
	p->decoder_pid = 0;
	p->processor_pid = 0;
	p->last_tick_at = 0;
	p->oldest_pending = 0;
	p->progress_view = InvalidOid;
	p->progress_phase = PROGRESS_NONE;
	p->applier_latch = NULL;
	p->decoder_latch = NULL;
	p->processor_latch = NULL;
	pg_atomic_write_u64(&p->async_lsn, 0);
	pg_atomic_write_u32(&p->want_visible, 0);
	pg_atomic_write_u64(&p->commits, 0);
	pg_atomic_write_u64(&p->tick_request, 0);
	pg_atomic_write_u64(&p->tick_done, 0);
	pg_atomic_write_u64(&p->wait_lsn, 0);
	pg_atomic_write_u32(&p->shed, 0);
	pg_atomic_write_u64(&p->target_lsn, 0);
	pg_atomic_write_u64(&p->confirm_lsn, 0);
	pg_atomic_write_u64(&p->received_lsn, 0);
	pg_atomic_write_u64(&p->applied_lsn, 0);
	pg_atomic_write_u64(&p->confirmed_lsn, 0);
	pg_atomic_write_u64(&p->transactions, 0);
	pg_atomic_write_u64(&p->changes, 0);
	pg_atomic_write_u64(&p->ticks, 0);
	pg_atomic_write_u64(&p->queue_bytes, 0);
	pg_write_barrier();
	p->dboid = dboid;
	pg_atomic_fetch_add_u32(&derive_shared->generation, 1);
}

/* Returns a database's entry, a new one if need be; NULL if the array is full. */
Pipeline *
derive_pipeline_reserve(Oid dboid)
{
	Pipeline *p;

	if (derive_shared == NULL)
		return NULL;
	LWLockAcquire(derive_shared->lock, LW_EXCLUSIVE);
	p = find_entry(dboid);
	if (p == NULL && (p = find_entry(InvalidOid)) != NULL)
		take_entry(p, dboid);
	LWLockRelease(derive_shared->lock);
	return p;
}

/* Frees an entry; its processes are gone or about to exit. */
void
derive_pipeline_release(Pipeline *p)
{
	LWLockAcquire(derive_shared->lock, LW_EXCLUSIVE);
	p->wanted = false;
	p->hold = false;
	p->dboid = InvalidOid;
	p->applier_latch = NULL;
	p->decoder_latch = NULL;
	p->processor_latch = NULL;
	SpinLockAcquire(&p->mutex);
	p->state = PIPELINE_STOPPED;
	p->reason[0] = '\0';
	p->applier_pid = 0;
	p->decoder_pid = 0;
	p->processor_pid = 0;
	SpinLockRelease(&p->mutex);
	pg_atomic_fetch_add_u32(&derive_shared->generation, 1);
	LWLockRelease(derive_shared->lock);
	ConditionVariableBroadcast(&p->tick_cv);
	derive_pipeline_wake_launcher();
}

/* Where a role's process and its latch stand in an entry. */
typedef struct RolePlace
{
	pid_t *pid;
	Latch *volatile *latch;
} RolePlace;

/* Returns the place of a role. */
static RolePlace
place_of(Pipeline *p, PipelineRole role)
{
	switch (role)
	{
		case ROLE_APPLIER:
			return (RolePlace){&p->applier_pid, &p->applier_latch};
		case ROLE_DECODER:
			return (RolePlace){&p->decoder_pid, &p->decoder_latch};
		default:
			return (RolePlace){&p->processor_pid, &p->processor_latch};
	}
}

/* Takes the exiting process out of its entry. */
static void
leave(int code, Datum arg)
{
	Pipeline *p = (Pipeline *) DatumGetPointer(arg);
	bool left = false;

	SpinLockAcquire(&p->mutex);
	for (PipelineRole role = ROLE_APPLIER; role <= ROLE_PROCESSOR; role++)
	{
		RolePlace place = place_of(p, role);

		if (*place.pid != MyProcPid)
			continue;
		*place.latch = NULL;
		*place.pid = 0;
		left = true;
		if (role != ROLE_APPLIER)
			continue;
		p->progress_view = InvalidOid;
		p->progress_phase = PROGRESS_NONE;
	}
	SpinLockRelease(&p->mutex);
	if (!left)
		return;
	ConditionVariableBroadcast(&p->tick_cv);
	derive_pipeline_wake_launcher();
	derive_pipeline_wake_applier(p);
}

bool
derive_pipeline_join(Pipeline *p, PipelineRole role)
{
	RolePlace place = place_of(p, role);
	pid_t other;

	SpinLockAcquire(&p->mutex);
	other = *place.pid;
	SpinLockRelease(&p->mutex);
	if (other != 0 && other != MyProcPid && kill(other, 0) == 0)
		return false;

	SpinLockAcquire(&p->mutex);
	*place.pid = MyProcPid;
	*place.latch = &MyProc->procLatch;
	SpinLockRelease(&p->mutex);
	on_shmem_exit(leave, PointerGetDatum(p));
	derive_pipeline_wake_launcher();
	return true;
}

/* Copies a reason, cut at a character if it is too long. */
static void
clip(char *text, const char *reason)
{
	int len = pg_mbcliplen(reason, strlen(reason), DERIVE_REASON_LEN - 1);

	memcpy(text, reason, len);
	memset(text + len, 0, DERIVE_REASON_LEN - len);
}

/* Sets state and reason (NULL: none), and tells waiters and the launcher. */
void
derive_pipeline_set_state(Pipeline *p, PipelineState state, const char *reason)
{
	char text[DERIVE_REASON_LEN];

	clip(text, reason ? reason : "");
	SpinLockAcquire(&p->mutex);
	p->state = state;
	memcpy(p->reason, text, sizeof(text));
	SpinLockRelease(&p->mutex);
	ConditionVariableBroadcast(&p->tick_cv);
	derive_pipeline_wake_launcher();
}

/* Sets the latch behind a pointer that its owner may clear at any time. */
static void
wake(Latch *latch)
{
	if (latch != NULL)
		SetLatch(latch);
}

/* Lets the launcher look at all entries. */
void
derive_pipeline_wake_launcher(void)
{
	wake(derive_shared->launcher_latch);
}

/* Wakes the pipeline's applier, if there is one. */
void
derive_pipeline_wake_applier(Pipeline *p)
{
	wake(p->applier_latch);
}

/* Wakes the pipeline's decoder, if there is one. */
void
derive_pipeline_wake_decoder(Pipeline *p)
{
	wake(p->decoder_latch);
}
