/*-------------------------------------------------------------------------
 *
 * classify.h
 *	  Which stage a block of a query can be, see classify.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_CLASSIFY_H
#define DERIVE_PLAN_CLASSIFY_H

#include "plan/plan.h"

extern StageKind derive_classify(Query *query, char **why);

/*
 * Returns the kind of stage that a block allows which is not recursive by itself, and what
 * keeps it from any.  The recursive name, in a term of its query, counts as a table.
 */
extern StageKind derive_classify_block(Query *query, const char **obstacle);

#endif /* DERIVE_PLAN_CLASSIFY_H */
