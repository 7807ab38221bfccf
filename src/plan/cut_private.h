/*-------------------------------------------------------------------------
 *
 * cut_private.h
 *	  What the parts of the cut share, see cut.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_CUT_PRIVATE_H
#define DERIVE_PLAN_CUT_PRIVATE_H

#include "plan/cut.h"

typedef struct Cut
{
	StageMaker make;
	void *arg;
} Cut;

/* What stays below a split. */
typedef enum SplitLevel
{
	SPLIT_COLUMNS, /* whole columns: DISTINCT or LIMIT over anything */
	SPLIT_WINDOWS, /* window functions: something over them */
	SPLIT_GROUPS   /* aggregates and group expressions: something over them */
} SplitLevel;

/* cut.c */
extern Query *derive_cut_query(Cut *cut, Query *query);
extern void derive_cut_from(Cut *cut, Query *query);
extern void derive_cut_open(Cut *cut, Query *query);
extern void derive_cut_joins(Query *query);
extern Oid derive_cut_make_stage(Cut *cut, Query *block);
extern Oid derive_cut_stage(Cut *cut, Query *query);
extern bool derive_cut_is_plain(Query *query);
extern bool derive_cut_has_groups(Query *query);
extern bool derive_cut_has_limit(Query *query);
extern char *derive_cut_from_text(Query *query);
extern Query *derive_cut_take_names(Query *query, Query *from);

/* cut_sets.c */
extern Query *derive_cut_set_operation(Cut *cut, Query *query);
extern Query *derive_cut_grouping_sets(Cut *cut, Query *query);

/* cut_steps.c */
extern bool derive_cut_stands_on_groups(Query *query);
extern Query *derive_cut_split(Cut *cut, Query *query, SplitLevel level);
extern Query *derive_cut_expose_division(Cut *cut, Query *query);

/* cut_sublinks.c */
extern void derive_cut_sublinks(Cut *cut, Query *query);

#endif /* DERIVE_PLAN_CUT_PRIVATE_H */
