/*-------------------------------------------------------------------------
 *
 * choice.h
 *	  By delta or by recompute: what the planner's estimates say, see choice.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_CHOICE_H
#define DERIVE_MAINTAIN_CHOICE_H

#include "maintain/view_run.h"

/*
 * Tells whether a run shall follow the deltas, which are registered, instead of recomputing;
 * nothing has been written yet.
 */
extern bool derive_choice_is_delta(ViewRun *run);

/*
 * Lines for derive.explain of a view that exists; plan->view and plan->state are set.
 * Plans the statements as the view's owner, and opens an SPI connection for that.
 */
extern List *derive_choice_explain(ViewPlan *plan, Oid owner);

#endif /* DERIVE_MAINTAIN_CHOICE_H */
