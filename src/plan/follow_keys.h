/*-------------------------------------------------------------------------
 *
 * follow_keys.h
 *	  Stages that follow the keys of changed rows, see follow_keys.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_FOLLOW_KEYS_H
#define DERIVE_PLAN_FOLLOW_KEYS_H

#include "plan/plan.h"

/*
 * Makes the query for the keys of the stage, k1 .. kn, that the delta of a plan which
 * follows keys touches: the select and what is in front of it.
 */
extern void
derive_followed_keys_sql(ViewPlan *plan, bool pretty, char **with, char **terms);

#endif /* DERIVE_PLAN_FOLLOW_KEYS_H */
