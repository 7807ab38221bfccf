/*-------------------------------------------------------------------------
 *
 * analyze.h
 *	  What stages of several branches are made of, see analyze.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_ANALYZE_H
#define DERIVE_PLAN_ANALYZE_H

#include "plan/region.h"

/*
 * Makes the region of a branch, which is changed, with its columns; name: prefix of what it
 * names.  NULL if it cannot be made; then *why says so.
 */
extern Region *
derive_analyze_branch(ViewPlan *plan, Query *branch, const char *name, char **why);

#endif /* DERIVE_PLAN_ANALYZE_H */
