/*-------------------------------------------------------------------------
 *
 * first.h
 *	  Stages of the first rows by an order: ORDER BY ... LIMIT, see first.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_FIRST_H
#define DERIVE_PLAN_FIRST_H

#include "plan/plan.h"

/*
 * Reads a query's OFFSET and LIMIT; false if they are not constants of a sensible size.
 * No LIMIT: *count is PG_INT32_MAX.
 */
extern bool derive_first_counts(Query *query, int64 *skip, int64 *count);

/* True if a query has a LIMIT that is a constant, and an order. */
extern bool derive_first_is_bounded(Query *query);

/* True if a query only sorts the rows of one relation, by its columns. */
extern bool derive_first_is_of_relation(Query *query);

/* True if a query's rows can be a column each of a table, those it only sorts by, too. */
extern bool derive_first_is_storable(Query *query);

/* Returns what keeps a query with LIMIT or OFFSET from being such a stage, or NULL. */
extern const char *derive_first_obstacle(Query *query);

/* Returns the sentence for explain about such a stage. */
extern char *derive_first_why(Query *query);

/*
 * Returns the CREATE INDEX statement (a list of one char *) for the index that gives a
 * stage's rows in order; NIL if the relation has such an index, or all rows tie.
 */
extern List *derive_first_missing_index(ViewPlan *plan);

#endif /* DERIVE_PLAN_FIRST_H */
