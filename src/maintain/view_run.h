/*-------------------------------------------------------------------------
 *
 * view_run.h
 *	  One run of one view, as the rules see it.
 *
 * Made by runner.c for each call; the rules (linear.c, fold.c, recompute.c) take
 * it and run as the view's owner, within an open SPI connection, in one command.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_VIEW_RUN_H
#define DERIVE_MAINTAIN_VIEW_RUN_H

#include "maintain/delta.h"
#include "maintain/delta_query.h"
#include "maintain/target.h"
#include "plan/plan.h"

typedef struct ViewRun
{
	/* of the runner */
	ViewPlan *plan;
	QueryCache *queries;
	TargetSpec *view;
	TargetSpec *state; /* NULL without a fold */
	List *outputs;	   /* the stage's, planned */
	Expr *having;	   /* the stage's, planned, or NULL */

	/* of this run */
	MemoryContext context; /* gone after it */
	SourceDelta *out;	   /* the view's own delta, or NULL */
	int64 rows_changed;	   /* of the view */
	QueryKey delta_key;	   /* derive_plan_delta_sql for the sources that changed */
} ViewRun;

#endif /* DERIVE_MAINTAIN_VIEW_RUN_H */
