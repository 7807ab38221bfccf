/*-------------------------------------------------------------------------
 *
 * delta_statistics.h
 *	  What the planner is told about the values in deltas.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_DELTA_STATISTICS_H
#define DERIVE_MAINTAIN_DELTA_STATISTICS_H

#include "plan/plan.h"

/*
 * While a view's plan is set, the planner takes the columns of its sources' deltas for
 * samples of these sources; NULL ends it.
 */
extern void derive_delta_statistics_use(ViewPlan *plan);

#endif /* DERIVE_MAINTAIN_DELTA_STATISTICS_H */
