/*-------------------------------------------------------------------------
 *
 * recursion.h
 *	  Stages of a recursive WITH query, see recursion.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_RECURSION_H
#define DERIVE_PLAN_RECURSION_H

#include "plan/plan.h"

struct Region;

/* True if a query is the rows of a recursive WITH query, and nothing else. */
extern bool derive_recursion_is(Query *query);

/* Returns what in such a query keeps its rows from being followed, or NULL. */
extern const char *derive_recursion_obstacle(Query *query);

/* True if a query's rows can be a branch of a recursion that is followed. */
extern bool derive_recursion_takes(Query *branch);

/* True if such a query can be followed. */
extern bool derive_recursion_is_followed(Query *query);

/* Makes the stage of such a query; false if something else is in the way: *why says what. */
extern bool derive_recursion_make(ViewPlan *plan, Query *query, char **why);

/* The new rows when rows have arrived in the sources in changed, as derive_algebra_delta. */
extern void derive_recursion_delta(ViewPlan *plan, Bitmapset *changed, bool pretty,
								   char **with, char **terms);

/*
 * Returns the regions of the stage.  The recursive term's has the stage's own table, if
 * that is known, as an occurrence.
 */
extern List *derive_recursion_regions(ViewPlan *plan);

extern int derive_recursion_ncolumns(Stage *stage);

#endif /* DERIVE_PLAN_RECURSION_H */
