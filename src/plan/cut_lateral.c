/*-------------------------------------------------------------------------
 *
 * cut_lateral.c
 *	  LATERAL subqueries into stages.
 *
 * A subquery in FROM that depends on the items before it is computed for its domain
 * (cut_domain.c), each step keeping the rows of different values x apart, and becomes a
 * stage:
 *
 *	GROUP BY g						GROUP BY g, D.x
 *	DISTINCT ON (d) ... ORDER BY s	DISTINCT ON (D.x, d) ... ORDER BY D.x, s
 *	OVER (PARTITION BY p ...)		OVER (PARTITION BY p, D.x ...)
 *	ORDER BY s OFFSET m LIMIT n		row_number() OVER (PARTITION BY D.x ORDER BY s)
 *									between m + 1 and m + n; rank() for WITH TIES
 *
 * The query around it joins this stage where x is the same, with NULL the same as NULL.
 * Aggregates without GROUP BY have a row even where nothing is found: then the join is a
 * left join, and where it found no row (present is NULL there) the aggregates' values over
 * nothing stand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "base/compat.h"
#include "plan/cut_private.h"
#include "plan/first.h"
#include "plan/surgery.h"

/* Keeps the rows of different values of a column apart in all steps but LIMIT. */
static void
divide_by(Query *sub, Var *column)
{
	SortGroupClause *clause = derive_cut_add_column(sub, (Node *) column);
	ListCell *lc;

	if (derive_cut_has_groups(sub))
		sub->groupClause = lappend(sub->groupClause, copyObject(clause));
	foreach (lc, sub->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, lc);

		window->partitionClause = lappend(window->partitionClause, copyObject(clause));
	}
	if (sub->hasDistinctOn)
	{
		sub->distinctClause = lcons(copyObject(clause), sub->distinctClause);
		sub->sortClause = lcons(clause, sub->sortClause);
	}
	else if (sub->distinctClause != NIL)
		sub->distinctClause = lappend(sub->distinctClause, clause);
}

/*
 * Returns a query without its LIMIT, in which the rows of each value of the nkeys columns
 * behind the first nvalues are numbered instead; NULL if the limits are not constants.
 */
static Query *
number_rows(Query *sub, int nvalues, int nkeys)
{
	StringInfoData sql;
	int64 skip;
	int64 count;
	char *order;
	char *function = sub->limitOption == LIMIT_OPTION_WITH_TIES ? "rank" : "row_number";
	ListCell *lc;

	if (!derive_first_counts(sub, &skip, &count) || sub->sortClause == NIL)
		return NULL;
	if (skip > 0 && sub->limitOption == LIMIT_OPTION_WITH_TIES)
		return NULL; /* rows are skipped by number, not by rank */
	foreach (lc, sub->targetList)
		lfirst_node(TargetEntry, lc)->resjunk = false;
	order = derive_cut_order_text(sub, "q.c");
	sub->limitOffset = sub->limitCount = NULL;
	sub->limitOption = LIMIT_OPTION_COUNT;
	if (!sub->hasDistinctOn)
		sub->sortClause = NIL;

	initStringInfo(&sql);
	for (int i = 1; i <= nvalues + nkeys; i++)
		appendStringInfo(&sql, "%s w.c%d", i > 1 ? "," : "SELECT", i);
	appendStringInfo(&sql, " FROM (SELECT q.*, pg_catalog.%s() OVER (", function);
	for (int i = nvalues + 1; i <= nvalues + nkeys; i++)
		appendStringInfo(&sql, "%s q.c%d", i > nvalues + 1 ? "," : "PARTITION BY", i);
	appendStringInfo(&sql,
					 " %s) AS place FROM %s) w WHERE w.place > " INT64_FORMAT
					 " AND w.place <= " INT64_FORMAT,
					 order, derive_cut_from_text(sub), skip, skip + count);
	return derive_surgery_parse(sql.data);
}

/* What is known of a LATERAL subquery. */
typedef struct Lateral
{
	int index;
	JoinExpr *join; /* whose right side it is, or NULL: an item of FROM */
	Query *sub;
	int nvalues;
	bool single;	/* has one row, or none by HAVING, whatever is found */
	List *defaults; /* its values where nothing is found, if single */
	Domain domain;
} Lateral;

/* True if all rows are one group. */
static bool
is_single(Query *sub)
{
	return (sub->hasAggs || sub->havingQual != NULL) && sub->groupClause == NIL;
}

/* True if no outer join around a join makes all of a row of its left side NULL. */
static bool
is_left_preserved(Query *query, JoinExpr *join)
{
	Bitmapset *items = derive_surgery_items(join->larg);
	int index = -1;

	while ((index = bms_next_member(items, index)) >= 0)
		if (derive_cut_is_preserved((Node *) query->jointree, index))
			return true;
	return false;
}

/* True if another item of FROM refers to an item. */
static bool
is_referred_to(Query *query, int index)
{
	ListCell *lc;

	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (bms_is_member(index,
						  pull_varnos_of_level(NULL, (Node *) rte->functions, 0)) ||
			bms_is_member(index,
						  pull_varnos_of_level(NULL, (Node *) rte->values_lists, 0)) ||
			(rte->subquery != NULL &&
			 bms_is_member(index, pull_varnos_of_level(NULL, (Node *) rte->subquery, 1))))
			return true;
	}
	return false;
}

/* Tells whether aggregates without groups can be followed, and notes their defaults. */
static bool
take_defaults(Query *query, Lateral *lateral)
{
	Query *sub = lateral->sub;
	JoinExpr *join = lateral->join;
	ListCell *lc;

	if (sub->havingQual != NULL || sub->hasTargetSRFs || sub->hasWindowFuncs ||
		sub->distinctClause != NIL || sub->limitOffset != NULL ||
		(sub->limitCount != NULL && !derive_cut_is_limit_one(sub)))
		return false;
	if (join == NULL ? is_referred_to(query, lateral->index)
					 : join->jointype != JOIN_LEFT || !IsA(join->quals, Const) ||
						   !DatumGetBool(((Const *) join->quals)->constvalue))
		return false;
	sub->sortClause = NIL;
	sub->limitCount = NULL;
	foreach (lc, sub->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Node *value = derive_cut_over_nothing((Node *) tle->expr);

		if (value == NULL)
			return false;
		/* "nothing is found for the row" must differ from "there is no row" */
		if (join != NULL && !is_left_preserved(query, join) &&
			!(IsA(value, Const) && ((Const *) value)->constisnull))
			return false;
		lateral->defaults = lappend(lateral->defaults, value);
	}
	return true;
}

/* Makes the stage of a subquery, with the domain's columns behind its own, or nothing. */
static Oid
make_stage(Cut *cut, Lateral *lateral)
{
	Query *sub = lateral->sub;
	ListCell *lc;

	if (!sub->hasDistinctOn && !derive_cut_has_limit(sub))
		sub->sortClause = NIL;
	foreach (lc, lateral->domain.columns)
		divide_by(sub, lfirst_node(Var, lc));
	if (derive_cut_has_limit(sub))
		sub = number_rows(sub, lateral->nvalues, list_length(lateral->domain.columns));
	return sub == NULL ? InvalidOid : derive_cut_stage(cut, sub);
}

/*
 * Returns the conditions that join a stage to the rows that it was computed for, levels
 * further out.
 */
static List *
join_conditions(Query *query, Lateral *lateral, int levels)
{
	List *conditions = NIL;
	ListCell *lc, *lo;

	forboth (lc, lateral->domain.columns, lo, lateral->domain.outer)
	{
		Var *var = lfirst_node(Var, lc);
		Var *column = makeVar(lateral->index,
							  lateral->nvalues + foreach_current_index(lc) + 1,
							  var->vartype, var->vartypmod, var->varcollid, 0);

		Node *outer = copyObject(lfirst(lo));

		IncrementVarSublevelsUp(outer, levels, 0);
		conditions = derive_cut_add_same(conditions, query, column, outer);
	}
	return conditions;
}

/* Puts defaults in place of a stage's values where it has no row. */
static void
put_defaults(Query *query, Lateral *lateral)
{
	RangeTblEntry *rte = rt_fetch(lateral->index, query->rtable);
	int witness = lateral->nvalues + list_length(lateral->domain.columns);
	List *targets = NIL;

	for (int attno = 1; attno <= witness; attno++)
	{
		Expr *value = derive_cut_column(query, lateral->index, attno);
		Const *otherwise = attno <= lateral->nvalues
							   ? list_nth(lateral->defaults, attno - 1)
							   : NULL;

		if (otherwise != NULL && !(IsA(otherwise, Const) && otherwise->constisnull))
			value = (Expr *) derive_cut_unless_null(
				derive_cut_column(query, lateral->index, witness), value,
				(Expr *) otherwise);
		targets = lappend(targets, makeTargetEntry(value, attno, NULL, false));
	}
	*query = *(Query *) derive_compat_replace_vars((Node *) query, lateral->index, rte,
												   targets, NULL);
}

/* Takes an item out of FROM. */
static void
take_out(Query *query, int index)
{
	ListCell *lc;

	foreach (lc, query->jointree->fromlist)
	{
		RangeTblRef *ref = lfirst(lc);

		if (IsA(ref, RangeTblRef) && ref->rtindex == index)
			query->jointree->fromlist = foreach_delete_current(query->jointree->fromlist,
															   lc);
	}
}

/* Replaces a LATERAL subquery by a stage, see cut_private.h. */
bool
derive_cut_lateral(Cut *cut, Query *query, int index, JoinExpr *join)
{
	Lateral lateral = {.index = index, .join = join};
	RangeTblEntry *rte = rt_fetch(index, query->rtable);
	List *conditions;
	Oid stage;

	if (join != NULL && ((join->jointype != JOIN_INNER && join->jointype != JOIN_LEFT) ||
						 join->usingClause != NIL)) /* printed without what is added */
		return false;
	lateral.sub = copyObject(rte->subquery);
	lateral.nvalues = list_length(rte->eref->colnames);
	lateral.single = is_single(lateral.sub);
	if (!derive_cut_is_storable(lateral.sub) ||
		(lateral.single && !take_defaults(query, &lateral)) ||
		!derive_cut_domain(cut, query, lateral.sub, join, &lateral.domain))
		return false;
	stage = make_stage(cut, &lateral);
	if (!OidIsValid(stage))
		return false;

	derive_surgery_set_relation(query, rte, stage);
	conditions = join_conditions(query, &lateral, 0);
	if (join != NULL)
		join->quals = make_and_qual(lateral.single ? NULL : join->quals,
									(Node *) make_ands_explicit(conditions));
	else if (!lateral.single)
		query->jointree->quals = make_and_qual(query->jointree->quals,
											   (Node *) make_ands_explicit(conditions));
	else
		take_out(query, index);
	if (lateral.single)
		put_defaults(query, &lateral);
	if (lateral.single && join == NULL)
		derive_surgery_left_join(query, index, conditions);
	return true;
}

/* Makes a subquery a selection from a stage, see cut_private.h. */
Query *
derive_cut_select_from_stage(Cut *cut, Query *query, Query *sub)
{
	Lateral lateral = {.index = 1, .sub = sub};
	Query *result;
	Oid stage;
	ListCell *lc;

	foreach (lc, sub->targetList)
		lateral.nvalues += !lfirst_node(TargetEntry, lc)->resjunk;
	if (is_single(sub) || !derive_cut_is_storable(sub) ||
		!derive_cut_domain(cut, query, sub, NULL, &lateral.domain))
		return NULL;
	stage = make_stage(cut, &lateral);
	if (!OidIsValid(stage))
		return NULL;
	result = derive_surgery_over(stage);
	result->targetList = list_truncate(result->targetList, lateral.nvalues);
	result->jointree->quals = (Node *) make_ands_explicit(
		join_conditions(query, &lateral, 1));
	return result;
}
