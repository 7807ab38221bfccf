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

#endif /* DERIVE_PLAN_CLASSIFY_H */
