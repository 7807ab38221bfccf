/*-------------------------------------------------------------------------
 *
 * commit_hook.c
 *	  The only code of ours that runs in a writer: the transaction callback.
 *
 * It runs in every backend of every database, so it must cost next to nothing
 * where there is no pipeline, and it must not fail: once the commit record is
 * written, it neither allocates nor locks nor throws.  A backend finds its
 * pipeline through a pointer that it keeps for as long as the generation counter
 * of the shared memory stands still.
 *
 * Before a commit it writes the request's id, if the session has set one (request_id.c).
 * At commit it sets the decoder's latch (a no-op in shared memory if that is
 * awake).  An asynchronous commit is visible before it is flushed, and nobody else
 * would flush it soon: it is counted from pre-commit to commit, so that an applier
 * that reads zero after taking a snapshot knows that async_lsn covers every
 * asynchronous commit of that snapshot.
 *
 * Parallel workers get events of their own, which are ignored here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared/commit_hook.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/request_id.h"
#include "miscadmin.h"
#include "shared/pipeline.h"

/* This backend's entry, valid while the generation is the one remembered. */
static Pipeline *cached_entry = NULL;
static uint32 cached_generation = 0;

static bool disabled = false;	 /* our own worker */
static Pipeline *counted = NULL; /* its async_in_flight contains this transaction */
static XLogRecPtr last_commit_end = InvalidXLogRecPtr;

/* What the transaction in progress announces at its commit. */
static bool catalog_changed = false;
static bool start_wanted = false;
static bool probe_wanted = false;

/* Returns this database's entry or NULL; reads shared memory without a lock. */
static Pipeline *
own_entry(void)
{
	uint32 generation = pg_atomic_read_u32(&derive_shared->generation);

	if (generation == cached_generation)
		return cached_entry;
	if (!OidIsValid(MyDatabaseId))
		return NULL;

	pg_read_barrier();
	cached_entry = NULL;
	for (int i = 0; i < derive_shared->npipelines; i++)
		if (derive_shared->pipelines[i].dboid == MyDatabaseId)
			cached_entry = &derive_shared->pipelines[i];
	cached_generation = generation;
	return cached_entry;
}

/* Counts an asynchronous commit that has begun. */
static void
before_commit(void)
{
	if (synchronous_commit != SYNCHRONOUS_COMMIT_OFF ||
		!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	counted = own_entry();
	if (counted)
		pg_atomic_fetch_add_u64(&counted->async_in_flight, 1);
}

/* Takes this transaction out of the count; end: of its commit, if it did. */
static void
uncount(XLogRecPtr end)
{
	if (counted == NULL)
		return;
	derive_atomic_raise(&counted->async_lsn, end);
	pg_atomic_fetch_sub_u64(&counted->async_in_flight, 1);
	counted = NULL;
}

/* Forgets what would have been announced. */
static void
reset_announcements(void)
{
	catalog_changed = false;
	start_wanted = false;
	probe_wanted = false;
}

/* Leaves a start request for the launcher; without a free place it looks everywhere. */
static void
request_start(void)
{
	for (int i = 0; i < DERIVE_START_REQUESTS; i++)
	{
		uint32 expected = InvalidOid;

		if (pg_atomic_compare_exchange_u32(&derive_shared->start_requests[i], &expected,
										   MyDatabaseId) ||
			expected == MyDatabaseId)
			return;
	}
	pg_atomic_write_u32(&derive_shared->probe_wanted, 1);
}

/* Tells launcher and applier what this transaction did to the catalogs. */
static void
announce(Pipeline *p)
{
	if (p && catalog_changed)
	{
		pg_atomic_fetch_add_u64(&p->catalog_version, 1);
		derive_pipeline_wake_applier(p);
	}
	if (start_wanted)
		request_start();
	if (probe_wanted)
		pg_atomic_write_u32(&derive_shared->probe_wanted, 1);
	if (start_wanted || probe_wanted)
		derive_pipeline_wake_launcher();
	reset_announcements();
}

/* Wakes whoever follows this database's commits. */
static void
after_commit(void)
{
	Pipeline *p = own_entry();

	uncount(XactLastCommitEnd);
	if (catalog_changed || probe_wanted)
		announce(p);
	if (XactLastCommitEnd == last_commit_end)
		return;
	last_commit_end = XactLastCommitEnd;
	if (p == NULL)
		return;
	pg_atomic_fetch_add_u64(&p->commits, 1);
	derive_pipeline_wake_decoder(p);
	if (pg_atomic_read_u32(&p->want_visible) != 0)
		derive_pipeline_wake_applier(p);
}

/* Refuses what COMMIT PREPARED, in another session, could not announce. */
static void
before_prepare(void)
{
	if (catalog_changed)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has changed derived views"),
				 errhint("Use COMMIT.")));
}

/* The transaction callback. */
static void
transaction_event(XactEvent event, void *arg)
{
	if (disabled || derive_shared == NULL)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			derive_request_id_log();
			before_commit();
			break;
		case XACT_EVENT_COMMIT:
			after_commit();
			break;
		case XACT_EVENT_PRE_PREPARE:
			before_prepare();
			derive_request_id_log();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			uncount(InvalidXLogRecPtr);
			reset_announcements();
			break;
		default:
			break;
	}
}

/* Registers the transaction callback. */
void
derive_commit_hook_init(void)
{
	RegisterXactCallback(transaction_event, NULL);
}

/* Switches the callback off in this process, for good. */
void
derive_commit_hook_disable(void)
{
	disabled = true;
}

void
derive_commit_hook_catalog_changed(bool start)
{
	catalog_changed = true;
	start_wanted |= start;
}

void
derive_commit_hook_probe_databases(void)
{
	probe_wanted = true;
}
