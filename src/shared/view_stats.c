/*-------------------------------------------------------------------------
 *
 * view_stats.c
 *	  Counters of views, in shared memory.
 *
 * A fixed hash table of MAX_VIEWS entries, keyed by database and view, guarded
 * by one LWLock: the applier counts once per view and tick, readers are people.
 * When the table is full, further views are maintained but not counted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared/view_stats.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#define MAX_VIEWS 4096
#define TRANCHE "pg_derive view statistics"

static HTAB *table = NULL;
static LWLock *lock = NULL;
static shmem_request_hook_type previous_request = NULL;
static shmem_startup_hook_type previous_startup = NULL;

/* Reserves the table's memory. */
static void
request(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(hash_estimate_size(MAX_VIEWS, sizeof(ViewStats)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

/* Makes or attaches to the table. */
static void
startup(void)
{
	HASHCTL info = {0};

	if (previous_startup)
		previous_startup();
	info.keysize = sizeof(ViewStatsKey);
	info.entrysize = sizeof(ViewStats);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	table = ShmemInitHash(TRANCHE, MAX_VIEWS / 16, MAX_VIEWS, &info,
						  HASH_ELEM | HASH_BLOBS);
	lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	LWLockRelease(AddinShmemInitLock);
}

/* Registers the hooks; from _PG_init. */
void
derive_view_stats_init(void)
{
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/* Returns a view's entry, a new one if need be, or NULL; expects the lock. */
static ViewStats *
find_entry(Oid view)
{
	ViewStatsKey key = {MyDatabaseId, view};
	bool found;
	ViewStats *entry = hash_search(table, &key, HASH_ENTER_NULL, &found);

	if (entry != NULL && !found)
		memset((char *) entry + sizeof(key), 0, sizeof(ViewStats) - sizeof(key));
	return entry;
}

/* Counts keys of a view of this database that an audit has compared. */
void
derive_view_stats_audited(Oid view, int64 keys)
{
	ViewStats *entry;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = find_entry(view);
	if (entry != NULL)
		entry->audits += keys;
	LWLockRelease(lock);
}

/* Counts one tick of a view of this database. */
void
derive_view_stats_count(Oid view, int64 rows_in, int64 rows_changed, bool recomputed,
						bool chosen, bool repaired, int64 us)
{
	ViewStats *entry;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = find_entry(view);
	if (entry != NULL)
	{
		entry->rows_in += rows_in;
		entry->rows_changed += rows_changed;
		entry->ticks++;
		entry->recomputes += recomputed;
		entry->choices += chosen;
		entry->repairs += repaired;
		entry->last_tick_at = GetCurrentTimestamp();
		entry->last_tick_us = us;
		entry->total_us += us;
	}
	LWLockRelease(lock);
}

/* Copies a view's counters; returns false if it has none. */
bool
derive_view_stats_get(Oid view, ViewStats *stats)
{
	ViewStatsKey key = {MyDatabaseId, view};
	ViewStats *entry;

	if (table == NULL)
		return false;
	LWLockAcquire(lock, LW_SHARED);
	entry = hash_search(table, &key, HASH_FIND, NULL);
	if (entry != NULL)
		*stats = *entry;
	LWLockRelease(lock);
	return entry != NULL;
}

/* Removes a dropped view's counters. */
void
derive_view_stats_forget(Oid view)
{
	ViewStatsKey key = {MyDatabaseId, view};

	if (table == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	(void) hash_search(table, &key, HASH_REMOVE, NULL);
	LWLockRelease(lock);
}
