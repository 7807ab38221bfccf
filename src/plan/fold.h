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

extern bool derive_fold_make_key(FoldKey *key, Node *expression, int number, char **why);
extern Stage *derive_fold_make(Query *query, struct Region *region, char **why);
extern bool derive_fold_may_recompute(Stage *stage);
extern List *derive_fold_view_key(Query *query, Stage *stage);

#endif /* DERIVE_PLAN_FOLD_H */
