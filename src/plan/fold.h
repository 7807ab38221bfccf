/*-------------------------------------------------------------------------
 *
 * fold.h
 *	  Aggregate stages: keys, state columns and output expressions, see fold.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_FOLD_H
#define DERIVE_PLAN_FOLD_H

#include "plan/plan.h"

extern Stage *
derive_fold_make(Query *query, struct Region *region, const char *source_text);
extern bool derive_fold_may_recompute(Stage *stage);
extern List *derive_fold_view_key(Query *query, Stage *stage);

#endif /* DERIVE_PLAN_FOLD_H */
