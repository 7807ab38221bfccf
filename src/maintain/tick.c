/*-------------------------------------------------------------------------
 *
 * tick.c
 *	  One maintenance transaction, which moves the frontier forward.
 *
 * The order matters (see the architecture's "snapshot-aligned ticks"):
 *  1. lock what will be read and written, never waiting;
 *  2. take the snapshot S' that all reads of this tick use;
 *  3. note L', a position behind every commit that S' shows, and let the decoder
 *     pass it;
 *  4. batch = decoded transactions that S' contains and a cohort's frontier does
 *     not.  So for each source: as seen by S' = post-state, batch = its delta;
 *  5. views in order of their ids, each in a subtransaction: by delta, or by
 *     recompute; an error quarantines the view and, through the check of its
 *     sources, those above it;
 *  6. what is published: events of the same transactions and deltas, to outboxes; then
 *     perhaps an audit, which sees what the views are now;
 *  7. frontier S', progress of views, events and all rows commit together,
 *     asynchronously; the slot is confirmed once that commit is on disk.
 *
 * Why S' shows no commit at or behind L': a synchronous commit is flushed before
 * it becomes visible, so the flush position read after the snapshot is behind
 * it.  An asynchronous one publishes its end in a commit callback after it became
 * visible, but counts itself in before; so if the counter reads zero, every
 * visible one has published, and otherwise the insert position serves.  The applier
 * itself commits asynchronously and does not count; it knows where it did.  Likewise while
 * the snapshot is not past the transactions that ran when the pipeline's entry was
 * new: they may have begun to commit without counting.
 *
 * Runs in the applier, in tick_context; state that outlives the tick lies in the
 * maintainer's and the view set's contexts.  An error outside a view's
 * subtransaction ends the worker: it starts again from what is committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/tick.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "base/lsn.h"
#include "base/settings.h"
#include "base/step.h"
#include "catalog/view_catalog.h"
#include "executor/spi.h"
#include "maintain/gap.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MAX_RELOADS 3

/* Bytes of retained transactions, in units of batch_memory, after which views that
 * are left behind become stale instead, and outboxes have the log read once more. */
#define RETAIN_FACTOR 16

/* Bytes of log without interest after which the frontier is written, to let go of them. */
#define IDLE_ADVANCE (64 * 1024)

/* ---------- the maintainer ---------- */

/* Makes the maintainer from what is stored; in a transaction of its own. */
Maintainer *
derive_maintainer_create(Pipeline *pipeline, Publisher *publisher)
{
	MemoryContext context = AllocSetContextCreate(
		TopMemoryContext, "pg_derive maintainer", ALLOCSET_DEFAULT_SIZES);
	Maintainer *m = MemoryContextAllocZero(context, sizeof(Maintainer));
	Cohort *main_cohort = MemoryContextAllocZero(context, sizeof(Cohort));
	CatalogFrontier stored;
	MemoryContext old;

	m->context = context;
	m->tick_context = AllocSetContextCreate(context, "pg_derive tick",
											ALLOCSET_DEFAULT_SIZES);
	m->pipeline = pipeline;
	m->publisher = publisher;
	m->first_xid = U64FromFullTransactionId(ReadNextFullTransactionId());

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	m->frontier_stored = derive_catalog_read_frontier(&stored);
	old = MemoryContextSwitchTo(context);
	if (m->frontier_stored)
		m->gap = derive_gap_find(&stored, pg_atomic_read_u32(&pipeline->shed) != 0);
	m->frontier_stored &= m->gap == NULL;
	if (m->frontier_stored)
	{
		m->stored_restart_lsn = stored.restart_lsn;
		main_cohort->frontier = derive_frontier_parse(stored.frontier);
		main_cohort->lsn = stored.applied_lsn;
		publisher->sink.cursor = stored.published_lsn;
		m->unconfirmed_lsn = stored.restart_lsn;
	}
	else
		main_cohort->frontier = derive_frontier_from_snapshot(GetActiveSnapshot());
	m->cohorts = list_make1(main_cohort);
	MemoryContextSwitchTo(old);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();

	/* The stored frontier may be a commit that only the last applier waited to flush. */
	XLogFlush(derive_lsn_reachable(GetXLogInsertRecPtr()));

	m->views = derive_view_set_create(publisher);
	derive_view_set_reload(m->views, &m->cohorts);
	pg_atomic_write_u64(&pipeline->applied_lsn, main_cohort->lsn);
	return m;
}

/* Gives the maintainer the stream that it reads from now on. */
void
derive_maintainer_attach_stream(Maintainer *m, ChangeStream *stream)
{
	m->stream = stream;
	m->batch = derive_batch_create(stream);
}

/* ---------- locks and snapshot ---------- */

/* Reloads views and tells the decoder if it must send other columns. */
static void
reload(Maintainer *m)
{
	if (derive_view_set_reload(m->views, &m->cohorts) && m->stream != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(m->tick_context);

		derive_stream_set_interest(m->stream, derive_view_set_interest(m->views),
								   m->views->interest_version);
		MemoryContextSwitchTo(old);
	}
}

/*
 * Starts the tick's transaction and takes its locks.  Taking a lock brings
 * invalidations: if one concerns a view, its plan is made again first.
 */
static void
begin_locked(Maintainer *m)
{
	for (int tries = 0;; tries++)
	{
		if (derive_view_set_is_dirty(m->views))
			reload(m);
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		XactIsoLevel = XACT_REPEATABLE_READ;
		m->publisher->begin(m->publisher);
		derive_view_set_lock(m->views);
		if (!derive_view_set_has_invalidations())
			return;
		if (tries == MAX_RELOADS)
			break;
		AbortCurrentTransaction();
	}
	/* Definitions keep changing under our hands: leave what is dirty behind. */
	derive_view_set_is_dirty(m->views);
	derive_view_set_lock(m->views);
}

/*
 * Moves views that cannot go out of the cohorts that can, so that each cohort is
 * active or not as a whole.  The main cohort always is.
 */
static void
split_cohorts(Maintainer *m)
{
	MemoryContext old = MemoryContextSwitchTo(m->context);
	List *added = NIL;
	ListCell *lc, *lv;

	foreach (lc, m->cohorts)
	{
		Cohort *cohort = lfirst(lc);
		Cohort *behind = NULL;

		cohort->active = true;
		foreach (lv, m->views->views)
		{
			LiveView *view = lfirst(lv);

			if (view->cohort != cohort || view->locked)
				continue;
			if (behind == NULL)
			{
				behind = palloc0(sizeof(Cohort));
				behind->frontier = derive_frontier_copy(cohort->frontier);
				behind->lsn = cohort->lsn;
				added = lappend(added, behind);
			}
			view->cohort = behind;
			view->progress_changed |= cohort == derive_main_cohort(m);
		}
	}
	m->cohorts = list_concat(m->cohorts, added);
	list_free(added);
	MemoryContextSwitchTo(old);
}

/* Returns L': a position behind the commit of everything that the snapshot shows. */
static XLogRecPtr
position_behind_snapshot(Maintainer *m, const Frontier *next)
{
	Pipeline *pipeline = m->pipeline;

	pg_memory_barrier();
	if (pg_atomic_read_u64(&pipeline->async_in_flight) != 0 || next->xmin <= m->first_xid)
		return derive_lsn_reachable(GetXLogInsertRecPtr());
	pg_read_barrier();
	return Max(Max(GetFlushRecPtr(NULL), XactLastCommitEnd),
			   pg_atomic_read_u64(&pipeline->async_lsn));
}

/* ---------- deltas ---------- */

/* Cancels what several transactions did and undid. */
static void
net_deltas(Maintainer *m)
{
	ListCell *lc, *ld;

	foreach (lc, m->cohorts)
		foreach (ld, ((Cohort *) lfirst(lc))->deltas.sources)
			derive_delta_net(lfirst(ld));
}

/* ---------- end of a tick ---------- */

/* Frees the deltas, whose files must be gone before the transaction commits. */
static void
reset_deltas(Maintainer *m)
{
	ListCell *lc, *ld;

	foreach (lc, m->cohorts)
	{
		Cohort *cohort = lfirst(lc);

		foreach (ld, cohort->deltas.sources)
			derive_delta_reset(lfirst(ld));
		cohort->deltas.sources = NIL;
	}
}

/* Moves all active cohorts to the new frontier, where they are one. */
static void
advance_cohorts(Maintainer *m, const Frontier *next, XLogRecPtr lsn)
{
	Cohort *target = derive_main_cohort(m);
	MemoryContext old = MemoryContextSwitchTo(m->context);
	List *remaining = list_make1(target);
	ListCell *lc, *lv;

	derive_frontier_free(target->frontier);
	target->frontier = derive_frontier_copy(next);
	target->lsn = lsn;
	foreach (lc, m->cohorts)
	{
		Cohort *cohort = lfirst(lc);
		bool used = false;

		if (cohort == target)
			continue;
		foreach (lv, m->views->views)
		{
			LiveView *view = lfirst(lv);

			if (view->cohort != cohort)
				continue;
			used |= !cohort->active;
			if (cohort->active)
			{
				view->cohort = target;
				view->progress_changed = true;
			}
		}
		if (used)
			remaining = lappend(remaining, cohort);
		else
		{
			derive_frontier_free(cohort->frontier);
			pfree(cohort);
		}
	}
	list_free(m->cohorts);
	m->cohorts = remaining;
	MemoryContextSwitchTo(old);
}

/* Says whether rows that are kept take too much. */
static bool
keeps_too_many_rows(Maintainer *m)
{
	return derive_batch_kept_bytes(m->batch) >=
		   (int64) derive_batch_memory * 1024 * RETAIN_FACTOR;
}

/* Says whether what is kept for views left behind, as rows or as log, is too much. */
static bool
keeps_too_much(Maintainer *m)
{
	XLogRecPtr flushed = GetFlushRecPtr(NULL);
	XLogRecPtr oldest = derive_batch_oldest_kept(m->batch, flushed);

	if (keeps_too_many_rows(m))
		return true;
	/* half of what is allowed: at the whole of it, all views would lose the log */
	return derive_max_retained_wal > 0 &&
		   (flushed - oldest) / (1024 * 1024) >= derive_max_retained_wal / 2;
}

/* Gives up on views left behind once what is kept for them has grown too large. */
static void
bound_retention(Maintainer *m)
{
	ListCell *lc;

	if (list_length(m->cohorts) == 1 || !keeps_too_much(m))
		return;
	foreach (lc, m->views->views)
	{
		LiveView *view = lfirst(lc);

		if (view->cohort != NULL && view->cohort != derive_main_cohort(m))
			derive_view_set_state(
				view, VIEW_STALE,
				"a source stayed locked and too many changes had to be kept");
	}
}

/* Writes changed progress; returns whether there was any. */
static bool
write_progress(Maintainer *m)
{
	bool any = false;
	ListCell *lc;

	foreach (lc, m->views->views)
	{
		LiveView *view = lfirst(lc);
		bool behind = view->cohort != NULL && view->cohort != derive_main_cohort(m);

		if (!view->progress_changed)
			continue;
		derive_catalog_write_progress(
			view->id, derive_view_state_name(view->state), view->reason,
			behind ? derive_frontier_text(view->cohort->frontier) : NULL,
			behind ? view->cohort->lsn : InvalidXLogRecPtr, view->refreshes_done);
		if (view->unrepaired && view->state == VIEW_LIVE)
		{
			derive_catalog_set_repaired(view->id);
			view->unrepaired = false;
		}
		view->progress_changed = false;
		any = true;
	}
	return any;
}

/*
 * Declares every view stale and tells who publishes, for what happened before the stream
 * starts is unknown, and has that on disk before a new slot can make it look otherwise.
 */
void
derive_maintainer_set_all_stale(Maintainer *m, const char *reason, XLogRecPtr start)
{
	ListCell *lc;

	if (m->frontier_stored || m->gap != NULL)
		ereport(LOG, (errmsg("derived views are stale: %s", reason),
					  errdetail("They are recomputed and compared.")));
	StartTransactionCommand();
	ForceSyncCommit();
	PushActiveSnapshot(GetTransactionSnapshot());

	foreach (lc, m->views->views)
	{
		LiveView *view = lfirst(lc);

		if (view->state == VIEW_LIVE)
			derive_view_set_state(view, VIEW_STALE, reason);
	}
	SPI_connect();
	write_progress(m);
	m->publisher->lose(m->publisher, start);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	m->frontier_stored = false;
}

/* Writes the frontier's row. */
static void
write_frontier(Maintainer *m, XLogRecPtr restart_lsn)
{
	CatalogFrontier row;

	row.frontier = derive_frontier_text(derive_main_cohort(m)->frontier);
	row.applied_lsn = derive_main_cohort(m)->lsn;
	row.restart_lsn = restart_lsn;
	row.published_lsn = m->publisher->sink.cursor;
	row.system_identifier = GetSystemIdentifier();
	row.timeline = GetWALInsertionTimeLine();
	row.database = MyDatabaseId;
	derive_catalog_write_frontier(&row);
	m->frontier_stored = true;
	m->stored_restart_lsn = restart_lsn;
}

/* Counts live views that are not at the pipeline's frontier. */
static int
count_behind(Maintainer *m)
{
	int n = 0;
	ListCell *lc;

	foreach (lc, m->views->views)
	{
		LiveView *view = lfirst(lc);

		n += view->cohort != NULL && view->cohort != derive_main_cohort(m) &&
			 !view->paused;
	}
	return n;
}

/*
 * Says whether a view waits for a tick in which it can be planned, built or refreshed.
 * A new one is often still locked when its creator's commit tells of it.
 */
static bool
work_is_left(Maintainer *m)
{
	ListCell *lc;

	foreach (lc, m->views->views)
	{
		LiveView *view = lfirst(lc);

		if (view->paused)
			continue;
		if (view->dirty ||
			(view->state == VIEW_FAILED && view->retry_at <= derive_clock_ms()))
			return true;
		if (view->runner == NULL || derive_view_obstacle(m, view) != NULL)
			continue;
		if (view->state == VIEW_BUILDING || view->state == VIEW_STALE ||
			(view->state == VIEW_LIVE && view->refreshes != view->refreshes_done))
			return true;
	}
	return false;
}

bool
derive_tick_confirm(Maintainer *m)
{
	if (XLogRecPtrIsInvalid(m->unconfirmed_lsn))
		return false;
	if (GetFlushRecPtr(NULL) < m->unflushed_commit)
		return true;
	DERIVE_STEP("tick-confirm");
	derive_stream_confirm(m->stream, m->unconfirmed_lsn);
	m->unconfirmed_lsn = InvalidXLogRecPtr;
	return false;
}

/* Publishes what waiters and status views look at. */
static void
publish(Maintainer *m, const TickResult *result, uint64 request, uint64 frontier_request)
{
	Pipeline *p = m->pipeline;
	TimestampTz oldest = derive_batch_oldest_commit_time(m->batch);

	pg_atomic_write_u64(&p->applied_lsn, derive_main_cohort(m)->lsn);
	pg_atomic_write_u32(&p->views_behind, count_behind(m));
	pg_atomic_fetch_add_u64(&p->transactions, result->transactions);
	pg_atomic_fetch_add_u64(&p->changes, result->changes);
	pg_atomic_fetch_add_u64(&p->ticks, 1);
	SpinLockAcquire(&p->mutex);
	p->last_tick_at = GetCurrentTimestamp();
	p->oldest_pending = oldest;
	SpinLockRelease(&p->mutex);
	m->frontier_request_done = frontier_request;
	pg_write_barrier();
	pg_atomic_write_u64(&p->tick_done, request);
	ConditionVariableBroadcast(&p->tick_cv);
}

/*
 * Writes progress and frontier, as far as this tick has changed them, somebody wants
 * the row, or the slot could let go of some log.  Returns whether anything was written.
 */
static bool
store(Maintainer *m, const BatchStats *stats, XLogRecPtr restart_lsn,
	  uint64 frontier_request)
{
	bool write;

	SPI_connect();
	write = write_progress(m);
	if (write || stats->transactions > 0 || !m->frontier_stored || m->publisher->moved ||
		frontier_request != m->frontier_request_done ||
		restart_lsn > m->stored_restart_lsn + IDLE_ADVANCE)
	{
		write_frontier(m, restart_lsn);
		write = true;
	}
	SPI_finish();
	return write;
}

/*
 * Notes what may be confirmed, the stored restart_lsn, once all that was committed so far
 * is on disk; unless an earlier note still waits for that.  The slot is never ahead of the
 * frontier's row: where it is, the row is not what this server wrote last.
 */
static void
expect_flush(Maintainer *m)
{
	if (!XLogRecPtrIsInvalid(m->unconfirmed_lsn))
		return;
	m->unconfirmed_lsn = m->stored_restart_lsn;
	m->unflushed_commit = XactLastCommitEnd;
}

/*
 * Runs one tick.
 */
void
derive_tick_run(Maintainer *m, TickResult *result)
{
	uint64 request = pg_atomic_read_u64(&m->pipeline->tick_request);
	uint64 frontier_request = pg_atomic_read_u64(&m->pipeline->frontier_request);
	MemoryContext old = CurrentMemoryContext;
	Frontier *next;
	XLogRecPtr target;
	XLogRecPtr restart_lsn;
	BatchStats stats;
	int64 events;
	bool write;
	ListCell *lc;

	pg_memory_barrier();
	memset(result, 0, sizeof(TickResult));
	DERIVE_STEP("tick-start");
	begin_locked(m);
	MemoryContextSwitchTo(m->tick_context);
	split_cohorts(m);
	foreach (lc, m->cohorts)
		derive_view_set_prepare_deltas(m->views, lfirst(lc),
									   lfirst(lc) == derive_main_cohort(m));

	PushActiveSnapshot(GetTransactionSnapshot());
	next = derive_frontier_from_snapshot(GetActiveSnapshot());
	target = Max(position_behind_snapshot(m, next),
				 pg_atomic_read_u64(&m->pipeline->wait_lsn));
	DERIVE_STEP("tick-snapshot");
	derive_batch_collect(m->batch, m->cohorts, &m->publisher->sink, next, target, &stats);
	DERIVE_STEP("tick-drained");
	if (stats.interest_version != m->barrier.version)
		derive_barrier_take(&m->barrier, m->context, stats.interest_version);

	if (stats.transactions > 1)
		net_deltas(m);

	derive_view_stop_readers(m);
	foreach (lc, m->views->views)
		derive_view_process(m, lfirst(lc), next);
	events = m->publisher->write(m->publisher, m->cohorts, target);
	DERIVE_STEP("tick-published");
	if (m->audit != NULL)
		m->audit(m);
	reset_deltas(m);

	bound_retention(m);
	advance_cohorts(m, next, derive_batch_oldest_deferred(m->batch, target));
	derive_batch_prune(m->batch, m->cohorts, &m->publisher->sink);
	if (keeps_too_many_rows(m))
		derive_batch_forget(m->batch, m->cohorts, &m->publisher->sink);
	restart_lsn = derive_batch_oldest_kept(m->batch, stats.decoded_lsn);

	write = store(m, &stats, restart_lsn, frontier_request);
	DERIVE_STEP("tick-frontier");
	PopActiveSnapshot();
	DERIVE_STEP("tick-commit");
	CommitTransactionCommand();
	DERIVE_STEP("tick-committed");

	expect_flush(m);
	if (events > 0)
		pg_atomic_fetch_add_u64(&m->pipeline->events, 1);
	m->views->catalog_changed |= m->publisher->reread;
	m->publisher->reread = false;
	result->transactions = stats.transactions;
	result->changes = stats.changes;
	result->deferred = stats.deferred;
	result->behind = list_length(m->cohorts) > 1 || work_is_left(m);
	result->again = m->barrier.fresh;
	m->barrier.fresh = false;
	publish(m, result, request, frontier_request);
	if (write)
		pgstat_report_stat(false);
	MemoryContextSwitchTo(old);
	MemoryContextReset(m->tick_context);
}

int64
derive_tick_next_due(Maintainer *m)
{
	int64 first = 0;
	ListCell *lc;

	foreach (lc, m->views->views)
	{
		LiveView *view = lfirst(lc);

		int64 next = view->state == VIEW_FAILED ? view->retry_at
					 : view->state == VIEW_LIVE ? view->due_at
												: 0;

		if (!view->paused && next != 0 && (first == 0 || next < first))
			first = next;
	}
	return first;
}
