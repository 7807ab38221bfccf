/*-------------------------------------------------------------------------
 *
 * fold_columns.h
 *	  The state columns of an aggregate stage, see fold_columns.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_FOLD_COLUMNS_H
#define DERIVE_PLAN_FOLD_COLUMNS_H

#include "nodes/primnodes.h"
#include "plan/plan.h"

/* A stage under construction.  Expressions are those of the query. */
typedef struct FoldBuilder
{
	Query *query;
	List *keys; /* group expressions, then dependent Vars */
	List *inputs;
	List *columns; /* of FoldColumn */
} FoldBuilder;

extern int derive_fold_find(List *list, Node *expression);
extern Node *derive_fold_state_var(int attno, Oid type, int32 typmod, Oid collation);
extern Node *derive_fold_aggregate(FoldBuilder *builder, Aggref *aggref);

#endif /* DERIVE_PLAN_FOLD_COLUMNS_H */
