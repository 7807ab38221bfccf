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

/* What a subquery depends on, see cut_domain.c. */
typedef struct Domain
{
	List *columns; /* Vars in the subquery's FROM; the last one is never NULL */
	List *outer;   /* what each is equal to in the query around it */
} Domain;

/* A subquery taken apart: what connects it with the row around it, and the rest. */
typedef struct Correlation
{
	Query *sub;	   /* without the connecting conditions */
	List *inner;   /* expressions k of the subquery */
	List *outer;   /* what each is equal to, as seen from the query around it */
	List *clauses; /* the equalities themselves, as seen from inside; NIL: with NULLs */
	int witness;   /* which k is never NULL where outer is equal to it */
} Correlation;

/* Where a subquery is: in an expression of this query. */
typedef struct LinkContext
{
	Cut *cut;
	Query *query;
} LinkContext;

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

extern bool derive_cut_is_storable(Query *query);

/* cut_sets.c */
extern Query *derive_cut_set_operation(Cut *cut, Query *query);
extern Query *derive_cut_grouping_sets(Cut *cut, Query *query);

/* cut_steps.c */
extern bool derive_cut_stands_on_groups(Query *query);
extern bool derive_cut_has_separate_windows(Query *query);
extern Query *derive_cut_split(Cut *cut, Query *query, SplitLevel level);
extern Query *derive_cut_expose_division(Cut *cut, Query *query);

/* cut_recursion.c */

/*
 * Returns the rows of a recursive WITH query of a query, whose other WITH queries before it
 * are gone, as a query for a stage; NULL if it must stay where it is.
 */
extern Query *derive_cut_recursion(Cut *cut, Query *query, CommonTableExpr *cte);

/* cut_sublinks.c */
extern void derive_cut_sublinks(Cut *cut, Query *query);

/* Returns the comparison of ANY or ALL as a condition inside the subquery. */
extern Node *derive_cut_comparison_inside(SubLink *link);

/* cut_values.c */

/* Returns a subquery's value as an expression over a join, or NULL. */
extern Node *derive_cut_value_of(LinkContext *context, SubLink *original);
extern bool derive_cut_is_limit_one(Query *sub);
extern char *derive_cut_order_text(Query *sub, const char *prefix);
extern Node *derive_cut_unless_null(Expr *witness, Expr *value, Expr *otherwise);

/* Returns an expression's value where its aggregates have no input, or NULL: unknown. */
extern Node *derive_cut_over_nothing(Node *expression);

/* cut_correlation.c */
extern bool
derive_cut_take_apart(LinkContext *context, Query *sub, Correlation *correlation);
extern bool derive_cut_is_group_equality(OpExpr *op, Node *inner);
extern Query *derive_cut_with_keys(Correlation *correlation, bool group);
extern char *derive_cut_rows_text(Correlation *correlation, int *nvalues);
extern char *
derive_cut_keys_text(Correlation *correlation, const char *before, const char *after);
extern int derive_cut_join_stage(LinkContext *context, Correlation *correlation,
								 Oid relid, OpExpr *compared, Node *outer);
extern Expr *derive_cut_column(Query *query, int index, int attno);

/* cut_domain.c */

/* True if an item of a join tree is there, with no outer join to make it NULL. */
extern bool derive_cut_is_preserved(Node *node, int rtindex);

/* Makes a further column of a query, and returns what groups or sorts by it. */
extern SortGroupClause *derive_cut_add_column(Query *query, Node *column);

/* True if a column of a query cannot be NULL, by its table and by the query's joins. */
extern bool derive_cut_is_not_null(Query *query, Var *column);

/*
 * Frees a subquery, which may be changed even if that fails, of its references to the
 * query around it; join: it is on its right side and may only refer to its left side.
 * Fails if the subquery has a shape that does not allow it.
 */
extern bool
derive_cut_domain(Cut *cut, Query *query, Query *sub, JoinExpr *join, Domain *domain);

/* Adds the conditions that a column is what a domain's column is, NULL included. */
extern List *
derive_cut_add_same(List *conditions, Query *query, Var *column, Node *outer);

/* cut_lateral.c */

/*
 * Replaces a LATERAL subquery in FROM, or on the right side of a join, by a stage that
 * has its rows for all values that it depends on; fails and changes nothing if it
 * cannot.
 */
extern bool derive_cut_lateral(Cut *cut, Query *query, int index, JoinExpr *join);

/*
 * Returns a subquery as a selection from a stage that has its rows for all values that
 * it depends on, or NULL.
 */
extern Query *derive_cut_select_from_stage(Cut *cut, Query *query, Query *sub);

#endif /* DERIVE_PLAN_CUT_PRIVATE_H */
