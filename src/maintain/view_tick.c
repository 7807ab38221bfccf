/*-------------------------------------------------------------------------
 *
 * view_tick.c
 *	  One view's part in a tick: by delta, by recompute, or not at all.
 *
 * Called by tick.c for each view in order of their ids, so that what a view reads has
 * been brought forward before.  A view's work runs in a subtransaction; an error makes it
 * failed, and the views above it with it.
 *
 * Runs in the applier, under the tick's locks and snapshot, in tick_context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/tick.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/clock.h"
#include "base/errors.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "portability/instr_time.h"
#include "shared/progress.h"
#include "shared/view_stats.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

LiveView *
derive_view_obstacle(Maintainer *m, LiveView *view)
{
	ListCell *lc;

	foreach (lc, m->views->views)
	{
		LiveView *source = lfirst(lc);

		if (source == view)
			break;
		if (derive_live_view_reads(view, source->view) &&
			(source->state != VIEW_LIVE || source->paused || !source->cohort->active))
			return source;
	}
	return NULL;
}

/* Looks at the deltas of a view's sources: rows, and whether some are missing. */
static void
inspect_deltas(LiveView *view, bool *changed, SourceDelta **lost)
{
	ListCell *lc;

	*changed = false;
	*lost = NULL;
	if (view->cohort == NULL)
		return;
	foreach (lc, derive_runner_plan(view->runner)->sources)
	{
		PlanSource *source = lfirst(lc);
		SourceDelta *delta = derive_delta_find(&view->cohort->deltas, source->relid,
											   source->only, source->keys_only);

		if (delta == NULL)
			continue;
		*changed |= delta->nrows > 0;
		if (delta->lost)
			*lost = delta;
	}
}

/*
 * Returns a hash of the files of all tables that a view's tick locks, 0 if it takes no
 * samples.  VACUUM FULL and CLUSTER move rows of which the log says nothing, but into other
 * files; they cannot do it while the tick has its locks.
 */
static uint64
sampled_files(LiveView *view)
{
	bool sampled = false;
	uint64 files = 0;
	ListCell *lc;

	foreach (lc, derive_runner_plan(view->runner)->sources)
		sampled |= ((PlanSource *) lfirst(lc))->sampled;
	if (!sampled)
		return 0;
	foreach (lc, view->locks)
	{
		Oid relid = ((TickLock *) lfirst(lc))->relid;
		HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));

		if (!HeapTupleIsValid(tuple))
			continue;
		files = hash_bytes_uint32_extended(
			((Form_pg_class) GETSTRUCT(tuple))->relfilenode, files);
		ReleaseSysCache(tuple);
	}
	return files;
}

/* Returns an error's message with its detail, in CurrentMemoryContext. */
static char *
describe_error(ErrorData *error)
{
	if (error->detail != NULL)
		return psprintf("%s (%s)", error->message, error->detail);
	return pstrdup(error->message);
}

/*
 * Maintains a view in a subtransaction.  Returns NULL, or the error that undid it.
 */
static ErrorData *
run_protected(Maintainer *m, LiveView *view, bool recompute, SourceDelta *out,
			  RunnerStats *stats)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	memset(stats, 0, sizeof(RunnerStats));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (recompute)
			derive_runner_recompute(view->runner, view->state == VIEW_BUILDING, out,
									stats);
		else
			derive_runner_apply(view->runner, &view->cohort->deltas, out, stats);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (out != NULL)
			derive_delta_reset(out);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * Maintains a view; an error makes it failed.  What a refresh or the repair of a view that
 * diverged changes is no delta for the views above: they may never have seen what was
 * wrong, so they are compared, too.
 */
static void
maintain(Maintainer *m, LiveView *view, bool recompute)
{
	Cohort *cohort = view->cohort ? view->cohort : derive_main_cohort(m);
	SourceDelta *out = derive_delta_find(&cohort->deltas, view->view, false, false);
	bool repair = false;
	bool diverged = false;
	RunnerStats stats;
	ErrorData *error;
	instr_time start, elapsed;

	INSTR_TIME_SET_CURRENT(start);
	error = run_protected(m, view, recompute, out, &stats);
	if (error != NULL && !recompute && error->sqlerrcode == ERRCODE_DERIVE_VIEW_DIVERGED)
	{
		ereport(
			WARNING,
			(errcode(ERRCODE_DERIVE_VIEW_DIVERGED),
			 errmsg(
				 "derived view \"%s\" is not what its source changes say; recomputing it",
				 get_rel_name(view->view)),
			 errdetail("%s", describe_error(error))));
		recompute = repair = diverged = true;
		error = run_protected(m, view, recompute, out, &stats);
	}
	if (recompute || stats.recomputed || error != NULL)
		derive_progress_end();
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, start);

	if (error != NULL && derive_view_set_is_touched(view))
	{
		/* the locks of a tick do not hold off all that its SQL names, such as a schema */
		derive_view_set_state(view, VIEW_STALE,
							  "a definition changed while it was maintained");
		return;
	}
	if (error != NULL)
	{
		view->refreshes_done = view->refreshes;
		derive_view_set_fail(view, describe_error(error));
		return;
	}
	view->failures = 0;
	if (recompute)
		view->files = sampled_files(view);
	if (view->due_at != 0 && recompute)
		view->due_at = derive_clock_ms() + view->refresh_every;
	derive_view_set_state(view, VIEW_LIVE, "");
	if (view->cohort == NULL)
		view->cohort = derive_main_cohort(m);
	if (view->refreshes_done != view->refreshes && recompute)
	{
		view->refreshes_done = view->refreshes;
		view->progress_changed = true;
		repair = true;
	}
	if (repair && out != NULL && stats.rows_changed > 0)
	{
		out->lost = true;
		out->lost_reason = "it was repaired";
	}
	derive_view_stats_count(view->view, stats.rows_in, stats.rows_changed,
							stats.recomputed, stats.chosen, diverged,
							INSTR_TIME_GET_MICROSEC(elapsed));
}

/*
 * Lets a view share the state of one that it reads and that is not live, or of its own
 * stage.  It comes back with that one, so no retry of its own is due.
 */
static void
follow_obstacle(LiveView *view, LiveView *obstacle)
{
	const char *name = get_rel_name(obstacle->view);

	if (view->state == VIEW_BUILDING && obstacle->state != VIEW_FAILED)
		return;
	if (obstacle->part_of == (OidIsValid(view->part_of) ? view->part_of : view->view) &&
		!obstacle->paused)
		derive_view_set_state(view,
							  obstacle->state == VIEW_FAILED ? VIEW_FAILED : VIEW_STALE,
							  obstacle->reason);
	else if (obstacle->state == VIEW_FAILED && !obstacle->paused)
		derive_view_set_state(
			view, VIEW_FAILED,
			psprintf("source view %s failed: %s", name, obstacle->reason));
	else
		derive_view_set_state(view, VIEW_STALE,
							  psprintf("source view %s is %s", name,
									   obstacle->paused
										   ? "paused"
										   : derive_view_state_name(obstacle->state)));
	view->retry_at = 0;
}

/*
 * Lets live views whose sources are not live follow them before any of these is
 * recomputed: from then on they would look live, but without a delta.
 */
void
derive_view_stop_readers(Maintainer *m)
{
	ListCell *lc;

	foreach (lc, m->views->views)
	{
		LiveView *view = lfirst(lc);
		LiveView *obstacle;

		if (view->state != VIEW_LIVE || !view->locked)
			continue;
		obstacle = derive_view_obstacle(m, view);
		if (obstacle != NULL)
			follow_obstacle(view, obstacle);
	}
}

/* Puts off the time of a view whose sources somebody has locked. */
static void
postpone(LiveView *view)
{
	if (view->retry_at != 0 && view->retry_at <= derive_clock_ms())
		view->retry_at = derive_clock_ms() + 1000;
	if (view->due_at != 0 && view->due_at <= derive_clock_ms())
		view->due_at = derive_clock_ms() + 1000;
}

/* Does what this tick must do for one view. */
void
derive_view_process(Maintainer *m, LiveView *view, const Frontier *next)
{
	LiveView *obstacle;
	SourceDelta *lost;
	bool changed;
	bool unread; /* what is lost is as good as a row */
	ViewPlan *plan;

	if (view->paused)
		return;
	if (!view->readable)
		postpone(view);
	if (!view->locked)
		return;
	obstacle = derive_view_obstacle(m, view);
	if (obstacle != NULL)
	{
		follow_obstacle(view, obstacle);
		return;
	}
	if (view->state != VIEW_LIVE)
	{
		if (view->state == VIEW_FAILED && view->retry_at > derive_clock_ms())
			return;
		if (view->readable &&
			derive_barrier_passed(&m->barrier, view->interest_version, next))
			maintain(m, view, true);
		return;
	}
	inspect_deltas(view, &changed, &lost);
	plan = derive_runner_plan(view->runner);
	unread = !derive_plan_reads_deltas(plan);
	if (lost != NULL && !unread && plan->rule != RULE_RECURSION)
		ereport(
			LOG,
			(errmsg(
				 "recomputing derived view \"%s\": the changes of \"%s\" cannot be followed",
				 get_rel_name(view->view), get_rel_name(lost->relid)),
			 errdetail("%s", lost->lost_reason)));
	if (lost != NULL && !view->readable)
		derive_view_set_state(view, VIEW_STALE, lost->lost_reason);
	else if ((lost != NULL && !unread) || sampled_files(view) != view->files ||
			 (derive_live_view_is_due(view) && view->readable))
		maintain(m, view, true);
	else if (changed || lost != NULL)
		maintain(m, view, false);
}
