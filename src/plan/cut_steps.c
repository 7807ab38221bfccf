/*-------------------------------------------------------------------------
 *
 * cut_steps.c
 *	  Steps of a query that stand on one another, and what divides a step's rows.
 *
 * A query is computed from the bottom up: FROM and WHERE, groups, windows, set-returning
 * functions of the output, DISTINCT, LIMIT.  A split makes a stage of the lower steps; in
 * what is above, references to the stage's columns stand for what was computed there:
 * whole columns, window functions, or aggregates and group expressions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "rewrite/rewriteManip.h"

#include "plan/cut_private.h"
#include "plan/surgery.h"

/* ---------- steps on one another ---------- */

typedef struct SplitContext
{
	Query *inner;
	SplitLevel level;
	List *groups;	  /* group expressions, for SPLIT_GROUPS */
	Bitmapset *below; /* which windows stay below, for SPLIT_WINDOWS */
	int depth;		  /* of subqueries in expressions */
} SplitContext;

/*
 * Returns a reference to the inner query's column for an expression, adding it.
 */
static Node *
inner_column(SplitContext *context, Node *expression)
{
	TargetEntry *tle;

	expression = copyObject(expression);
	if (context->depth > 0)
		IncrementVarSublevelsUp(expression, -context->depth, context->depth);
	tle = tlist_member((Expr *) expression, context->inner->targetList);
	if (tle == NULL)
	{
		tle = makeTargetEntry((Expr *) expression,
							  list_length(context->inner->targetList) + 1, NULL, false);
		context->inner->targetList = lappend(context->inner->targetList, tle);
	}
	return (Node *) makeVar(1, tle->resno, exprType(expression), exprTypmod(expression),
							exprCollation(expression), context->depth);
}

/*
 * True if a node stays below the split, as a column of the inner query.
 */
static bool
is_atom(Node *node, SplitContext *context)
{
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup == context->depth;
	if (context->level == SPLIT_WINDOWS)
		return IsA(node, WindowFunc) && context->depth == 0 &&
			   bms_is_member(((WindowFunc *) node)->winref, context->below);
	if (IsA(node, Aggref))
		return ((Aggref *) node)->agglevelsup == context->depth;
	if (IsA(node, GroupingFunc))
		return ((GroupingFunc *) node)->agglevelsup == context->depth;
	return context->depth == 0 && list_member(context->groups, node);
}

/*
 * Replaces what stays below a split by references to it; a mutator.
 */
static Node *
split_mutator(Node *node, SplitContext *context)
{
	Node *result;

	if (node == NULL)
		return NULL;
	if (is_atom(node, context))
		return inner_column(context, node);
	if (!IsA(node, Query))
		return expression_tree_mutator(node, split_mutator, context);
	context->depth++;
	result = (Node *) query_tree_mutator((Query *) node, split_mutator, context,
										 QTW_IGNORE_JOINALIASES);
	context->depth--;
	return result;
}

/*
 * True if a list of SortGroupClauses refers to a column.
 */
static bool
clauses_refer_to(List *clauses, TargetEntry *tle)
{
	ListCell *lc;

	foreach (lc, clauses)
		if (lfirst_node(SortGroupClause, lc)->tleSortGroupRef == tle->ressortgroupref)
			return true;
	return false;
}

/*
 * Makes the columns of the query above a split by whole columns: those of the query below
 * that are visible, or that the clauses above refer to.
 */
static void
split_columns(Query *inner, Query *outer)
{
	List *visible = NIL;
	List *hidden = NIL;
	ListCell *lc;

	foreach (lc, inner->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Node *expr = (Node *) tle->expr;
		TargetEntry *above;

		if (tle->resjunk && (tle->ressortgroupref == 0 ||
							 (!clauses_refer_to(outer->sortClause, tle) &&
							  !clauses_refer_to(outer->distinctClause, tle))))
		{
			hidden = lappend(hidden, tle);
			continue;
		}
		visible = lappend(visible, tle);
		above = flatCopyTargetEntry(tle);
		above->resno = list_length(visible);
		above->expr = (Expr *) makeVar(1, above->resno, exprType(expr), exprTypmod(expr),
									   exprCollation(expr), 0);
		outer->targetList = lappend(outer->targetList, above);
		tle->resjunk = false;
	}
	inner->targetList = list_concat(visible, hidden);
	foreach (lc, inner->targetList)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
}

/*
 * Returns which windows of a query can be one stage: those that have a PARTITION BY
 * expression in common with each other, as far as there are any; those that have none
 * come last.
 */
static Bitmapset *
windows_below(Query *query)
{
	Bitmapset *below = NULL;
	List *common = NIL;
	ListCell *lc, *lp;

	foreach (lc, query->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, lc);
		List *refs = NIL;

		foreach (lp, window->partitionClause)
			refs = lappend_int(refs, lfirst_node(SortGroupClause, lp)->tleSortGroupRef);
		if (below != NULL)
			refs = list_intersection_int(common, refs);
		if (refs == NIL)
			continue;
		common = refs;
		below = bms_add_member(below, window->winref);
	}
	if (below == NULL)
		foreach (lc, query->windowClause)
			below = bms_add_member(below, lfirst_node(WindowClause, lc)->winref);
	return below;
}

/*
 * Returns those of some windows that are below a split, or those that are not, each
 * complete in itself.
 */
static List *
take_windows(List *windows, Bitmapset *below, bool taken)
{
	List *result = NIL;
	ListCell *lc;

	foreach (lc, windows)
	{
		WindowClause *window = copyObject(lfirst_node(WindowClause, lc));

		window->name = window->refname = NULL;
		window->copiedOrder = false;
		if (bms_is_member(window->winref, below) == taken)
			result = lappend(result, window);
	}
	return result;
}

/*
 * True if a query's windows are better followed in several stages: none of them has all
 * rows in one partition.
 */
bool
derive_cut_has_separate_windows(Query *query)
{
	ListCell *lc;

	foreach (lc, query->windowClause)
		if (lfirst_node(WindowClause, lc)->partitionClause == NIL)
			return false;
	return bms_num_members(windows_below(query)) < list_length(query->windowClause);
}

/*
 * Splits a query: what is below the level becomes a stage, and what is above is
 * returned as a query over it.
 */
Query *
derive_cut_split(Cut *cut, Query *query, SplitLevel level)
{
	Query *inner = copyObject(query);
	Query *outer = makeNode(Query);
	SplitContext context = {.inner = inner, .level = level};
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell *lc;

	outer->commandType = CMD_SELECT;
	outer->canSetTag = true;
	outer->distinctClause = query->distinctClause;
	outer->hasDistinctOn = query->hasDistinctOn;
	outer->sortClause = query->sortClause;
	outer->limitCount = query->limitCount;
	outer->limitOffset = query->limitOffset;
	outer->limitOption = query->limitOption;
	outer->hasTargetSRFs = query->hasTargetSRFs;
	outer->hasSubLinks = query->hasSubLinks;
	inner->distinctClause = NIL;
	inner->hasDistinctOn = false;
	inner->sortClause = NIL;
	inner->limitCount = inner->limitOffset = NULL;

	if (level == SPLIT_COLUMNS && derive_cut_has_limit(query) &&
		query->distinctClause != NIL)
	{
		/* DISTINCT stays below LIMIT */
		inner->distinctClause = outer->distinctClause;
		inner->hasDistinctOn = outer->hasDistinctOn;
		inner->sortClause = query->sortClause;
		outer->distinctClause = NIL;
		outer->hasDistinctOn = false;
	}
	if (level == SPLIT_COLUMNS)
	{
		outer->hasTargetSRFs = outer->hasSubLinks = false;
		split_columns(inner, outer);
	}
	else
	{
		List *clauses = level == SPLIT_GROUPS ? query->groupClause : NIL;
		List *kept = NIL;
		Node *having = query->havingQual;

		if (level == SPLIT_WINDOWS)
		{
			context.below = windows_below(query);
			inner->windowClause = take_windows(inner->windowClause, context.below, true);
			foreach (lc, inner->windowClause)
			{
				WindowClause *window = lfirst_node(WindowClause, lc);

				clauses = list_concat(clauses, list_concat_copy(window->partitionClause,
																window->orderClause));
			}
		}
		foreach (lc, clauses)
			kept = list_append_unique_ptr(
				kept, get_sortgroupclause_tle(lfirst(lc), inner->targetList));
		foreach (lc, kept)
		{
			TargetEntry *tle = lfirst_node(TargetEntry, lc);

			tle->resno = foreach_current_index(lc) + 1;
			tle->resjunk = false;
			context.groups = lappend(context.groups, tle->expr);
		}
		inner->targetList = kept;
		inner->hasTargetSRFs = false;
		if (level == SPLIT_GROUPS)
		{
			outer->windowClause = (List *) split_mutator((Node *) query->windowClause,
														 &context);
			outer->hasWindowFuncs = query->hasWindowFuncs;
			inner->windowClause = NIL;
			inner->hasWindowFuncs = false;
			if (having != NULL && checkExprHasSubLink(having))
				inner->havingQual = NULL;
			else
				having = NULL;
		}
		else
		{
			having = NULL;
			outer->windowClause = (List *) split_mutator(
				(Node *) take_windows(query->windowClause, context.below, false),
				&context);
			outer->hasWindowFuncs = outer->windowClause != NIL;
		}
		outer->targetList = (List *) split_mutator((Node *) query->targetList, &context);
		outer->jointree = makeFromExpr(NIL, split_mutator(having, &context));
		inner->hasSubLinks = query->hasSubLinks;
	}

	if (outer->jointree == NULL)
		outer->jointree = makeFromExpr(NIL, NULL);
	ref->rtindex = derive_surgery_add_relation(outer, derive_cut_stage(cut, inner), NULL);
	outer->jointree->fromlist = list_make1(ref);
	return outer;
}

/*
 * True if there is a subquery outside of aggregates' arguments and of group expressions;
 * a walker.
 */
static bool
sublink_above_groups_walker(Node *node, List *groups)
{
	if (node == NULL || (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0) ||
		(!IsA(node, List) && list_member(groups, node)))
		return false;
	if (IsA(node, SubLink))
		return true;
	return expression_tree_walker(node, sublink_above_groups_walker, groups);
}

/*
 * Returns the group expressions of a query.
 */
static List *
group_expressions(Query *query)
{
	List *groups = NIL;
	ListCell *lc;

	foreach (lc, query->groupClause)
		groups = lappend(groups, get_sortgroupclause_expr(lfirst(lc), query->targetList));
	return groups;
}

/*
 * True if something stands on a query's groups.
 */
bool
derive_cut_stands_on_groups(Query *query)
{
	List *groups = group_expressions(query);

	return query->hasWindowFuncs || query->hasTargetSRFs ||
		   query->distinctClause != NIL ||
		   sublink_above_groups_walker((Node *) query->targetList, groups) ||
		   sublink_above_groups_walker(query->havingQual, groups);
}

/* ---------- what divides the rows of a block ---------- */

/*
 * Returns the sort group references by which all windows of a query divide rows.
 */
static List *
common_partition(Query *query)
{
	List *common = NIL;
	ListCell *lc, *lp;

	foreach (lc, query->windowClause)
	{
		List *refs = NIL;

		foreach (lp, lfirst_node(WindowClause, lc)->partitionClause)
			refs = lappend_int(refs, lfirst_node(SortGroupClause, lp)->tleSortGroupRef);
		common = foreach_current_index(lc) == 0 ? refs
												: list_intersection_int(common, refs);
	}
	return common;
}

/*
 * Makes columns of what divides the rows of a block; the query returned leaves them out
 * again.
 */
Query *
derive_cut_expose_division(Cut *cut, Query *query)
{
	List *refs = NIL;
	List *visible = NIL;
	List *hidden = NIL;
	Query *outer;
	int nvisible;
	ListCell *lc;

	if (query->hasWindowFuncs)
		refs = common_partition(query);
	else if (query->hasDistinctOn)
		foreach (lc, query->distinctClause)
			refs = lappend_int(refs, lfirst_node(SortGroupClause, lc)->tleSortGroupRef);

	foreach (lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			visible = lappend(visible, lfirst(lc));
	nvisible = list_length(visible);
	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk && list_member_int(refs, tle->ressortgroupref))
		{
			tle->resjunk = false;
			visible = lappend(visible, tle);
		}
		else if (tle->resjunk)
			hidden = lappend(hidden, tle);
	}
	if (list_length(visible) == nvisible)
		return query;
	query->targetList = list_concat(visible, hidden);
	foreach (lc, query->targetList)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
	outer = derive_surgery_over(derive_cut_make_stage(cut, query));
	outer->targetList = list_truncate(outer->targetList, nvisible);
	return outer;
}
