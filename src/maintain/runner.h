/*-------------------------------------------------------------------------
 *
 * runner.h
 *	  Carries out a view's plan: by delta, or by recompute and diff.
 *
 * A runner lives in the applier between ticks: it holds the plan and the kept SPI
 * plans.  It is thrown away and made again when anything that the view depends on
 * changes (relcache invalidation), so it caches freely.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_RUNNER_H
#define DERIVE_MAINTAIN_RUNNER_H

#include "base/owner.h"
#include "maintain/view_run.h"

typedef struct ViewRunner ViewRunner;

typedef struct RunnerStats
{
	int64 rows_in;		/* rows of the deltas that were followed */
	int64 rows_changed; /* rows of the target inserted, updated or deleted */
	bool recomputed;
	bool chosen; /* to be recomputed, though a delta was at hand */
} RunnerStats;

/*
 * Makes a runner in a memory context of its own below parent.  state is InvalidOid
 * for plans without a fold.  ereports if the target or the state table does not fit
 * the plan.  Must be called in a transaction.
 */
extern ViewRunner *derive_runner_create(MemoryContext parent, ViewPlan *plan, Oid view,
										Oid owner, Oid state);
extern void derive_runner_destroy(ViewRunner *runner);
extern ViewPlan *derive_runner_plan(ViewRunner *runner);

/*
 * Brings the view from the previous frontier to the snapshot of this transaction
 * (which is the active snapshot, REPEATABLE READ) by the deltas in set.  Called inside
 * a subtransaction with locks on sources and target already held; opens its own SPI
 * connection; becomes the view's owner around user expressions.  The view's own delta
 * goes to out (may be NULL).  ereports with ERRCODE_DERIVE_VIEW_DIVERGED if the stored
 * rows are not what the deltas say.  On return the writes are visible to the
 * active snapshot (command counter incremented, curcid updated).
 */
extern void derive_runner_apply(ViewRunner *runner, DeltaSet *set, SourceDelta *out,
								RunnerStats *stats);

/*
 * Makes the view equal to its query at the active snapshot, whatever it contained.
 * first: target and state are known to be empty (insert without comparing).
 */
extern void derive_runner_recompute(ViewRunner *runner, bool first, SourceDelta *out,
									RunnerStats *stats);

/*
 * Prepares to read what the runner maintains, as the view's owner and over an SPI connection
 * of its own: fills run, whose context becomes current.  Leave restores both and deletes
 * the context; an error needs no leave.
 */
extern void derive_runner_enter(ViewRunner *runner, ViewRun *run, OwnerScope *scope);
extern void derive_runner_leave(ViewRun *run, OwnerScope *scope);

#endif /* DERIVE_MAINTAIN_RUNNER_H */
