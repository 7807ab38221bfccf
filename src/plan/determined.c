/*-------------------------------------------------------------------------
 *
 * determined.c
 *	  Which columns of a stage have one right value.
 *
 * An audit compares what is stored with what the query gives now.  Of some queries
 * PostgreSQL may give another result at each run, and all are right: sums of floats
 * depend on the order of rows in their last digits, of values that are equal but look
 * different a group may show either, and where rows tie in the order of a window, an
 * ordered aggregate, DISTINCT ON or LIMIT, any may come first.  The columns that depend
 * on such a choice are left out of the comparison; if even the number of rows depends on
 * one, the stage is not compared.
 *
 * When in doubt a column is left out: an audit that cries for nothing is worth nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "plan/determined.h"
#include "plan/indexes.h"
#include "plan/region.h"
#include "plan/scale.h"
#include "plan/surgery.h"

/* Aggregates of core whose result does not depend on the order of exact inputs. */
static const char *const exact_aggregates[] = {
	"count",		  "sum",		 "avg",		 "min",		"max",		"bool_and",
	"bool_or",		  "every",		 "bit_and",	 "bit_or",	"bit_xor",	"stddev",
	"stddev_pop",	  "stddev_samp", "variance", "var_pop", "var_samp", "range_agg",
	"percentile_disc"};

/* Window functions of core that treat rows that tie alike. */
static const char *const tie_functions[] = {"rank", "dense_rank", "percent_rank",
											"cume_dist"};

/* Says whether a function is one of core's with one of the given names. */
static bool
is_core_function(Oid function, const char *const *names, int n)
{
	char *name = function < FirstNormalObjectId ? get_func_name(function) : NULL;

	for (int i = 0; name != NULL && i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Says whether a type's arithmetic is exact, as far as aggregates are concerned. */
static bool
is_float(Oid type)
{
	Oid base = getBaseType(type);

	return base == FLOAT4OID || base == FLOAT8OID;
}

/* Says how values of an expression are compared if equal ones may take each other's place. */
static ColumnCheck
check_of_equal(Node *expression)
{
	Oid type_id = exprType(expression);
	TypeCacheEntry *type = lookup_type_cache(type_id,
											 TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);

	if (!OidIsValid(type->btree_opf))
		return CHECK_NOT;
	if (!derive_image_may_vary(expression, type, exprCollation(expression)))
		return CHECK_IMAGE;
	return type_id == NUMERICOID ? CHECK_VALUE : CHECK_NOT;
}

/* Says whether all arguments of an aggregate are what it orders its input by, or constant. */
static bool
orders_by_arguments(Aggref *aggref)
{
	ListCell *lc;

	foreach (lc, aggref->args)
	{
		TargetEntry *argument = lfirst_node(TargetEntry, lc);
		bool ordered = IsA(argument->expr, Const) || argument->resjunk;
		ListCell *lo;

		foreach (lo, aggref->aggorder)
			ordered |= lfirst_node(SortGroupClause, lo)->tleSortGroupRef ==
					   argument->ressortgroupref;
		if (!ordered || check_of_equal((Node *) argument->expr) != CHECK_IMAGE)
			return false;
	}
	return true;
}

/* Says whether the result of an aggregate has one right value. */
static bool
aggregate_is_determined(Aggref *aggref)
{
	ListCell *lc;

	if (aggref->aggorder != NIL && aggref->aggkind == AGGKIND_NORMAL &&
		aggref->aggfnoid < FirstNormalObjectId && orders_by_arguments(aggref))
		return true;
	if (!is_core_function(aggref->aggfnoid, exact_aggregates, lengthof(exact_aggregates)))
		return false;
	foreach (lc, aggref->args)
	{
		Node *argument = (Node *) lfirst_node(TargetEntry, lc)->expr;

		if (is_float(exprType(argument)) || check_of_equal(argument) != CHECK_IMAGE)
			return strcmp(get_func_name(aggref->aggfnoid), "count") == 0;
	}
	return true;
}

/* Returns the window that a call refers to. */
static WindowClause *
find_window(Query *query, Index winref)
{
	ListCell *lc;

	foreach (lc, query->windowClause)
		if (lfirst_node(WindowClause, lc)->winref == winref)
			return lfirst(lc);
	elog(ERROR, "window %u not found", winref);
}

/* Says whether the result of a window function has one right value for each row. */
static bool
window_is_determined(WindowFunc *call, Query *query, Region *region)
{
	WindowClause *window = find_window(query, call->winref);
	List *columns = NIL;
	Region sorted;
	ListCell *lc;

	foreach (lc, call->args)
		if (is_float(exprType(lfirst(lc))) && call->winagg)
			return false;
	if (is_core_function(call->winfnoid, tie_functions, lengthof(tie_functions)))
		return true;
	if (call->winagg && !(window->frameOptions & FRAMEOPTION_ROWS) &&
		is_core_function(call->winfnoid, exact_aggregates, lengthof(exact_aggregates)))
		return true;
	if (region == NULL)
		return false;
	sorted = *region; /* what the plan's own region computes must stay */
	foreach (lc, list_concat_copy(window->partitionClause, window->orderClause))
	{
		Node *expression = get_sortgroupclause_expr(lfirst(lc), query->targetList);

		columns = lappend(
			columns, makeTargetEntry((Expr *) derive_region_adopt(region, expression),
									 list_length(columns) + 1, NULL, false));
	}
	sorted.columns = columns;
	return columns != NIL && derive_region_view_key(&sorted) != NIL;
}

typedef struct CallWalk
{
	Query *query;
	Region *region;
} CallWalk;

/* Says whether an expression of a query calls something undetermined; a walker. */
static bool
undetermined_walker(Node *node, CallWalk *walk)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, Aggref) && !aggregate_is_determined((Aggref *) node))
		return true;
	if (IsA(node, WindowFunc) &&
		!window_is_determined((WindowFunc *) node, walk->query, walk->region))
		return true;
	return expression_tree_walker(node, undetermined_walker, walk);
}

/* Says whether a query chooses rows by an order in which they may tie. */
static bool
chooses_rows(Query *query)
{
	return query->hasDistinctOn || query->limitOffset != NULL ||
		   (query->limitCount != NULL && query->limitOption != LIMIT_OPTION_WITH_TIES);
}

/* Says whether a query makes one row of several that are equal. */
static bool
merges_rows(Query *query)
{
	return query->groupClause != NIL || query->groupingSets != NIL || query->hasAggs ||
		   query->distinctClause != NIL || query->setOperations != NULL;
}

/* Says whether a column of a query's result is one of those that it orders or tells rows by. */
static bool
is_sort_column(Query *query, TargetEntry *column)
{
	return targetIsInSortList(column, InvalidOid,
							  query->hasDistinctOn ? query->distinctClause
												   : query->sortClause);
}

/* Returns how the columns of a query's result are compared; NULL: its rows are not. */
static ColumnCheck *
query_columns(Query *query, Region *region)
{
	ColumnCheck *checks = palloc0_array(ColumnCheck, list_length(query->targetList) + 1);
	CallWalk walk = {query, region};
	bool chooses = chooses_rows(query);
	bool merges = false;
	ListCell *lc;

	foreach (lc, derive_plan_queries(query))
	{
		Query *part = lfirst(lc);
		CallWalk inner = {part, NULL};

		merges |= merges_rows(part);
		if (part != query && (chooses_rows(part) ||
							  undetermined_walker((Node *) part->targetList, &inner) ||
							  undetermined_walker(part->havingQual, &inner)))
			return NULL;
	}
	if (undetermined_walker(query->havingQual, &walk))
		return NULL;
	foreach (lc, query->targetList)
	{
		TargetEntry *column = lfirst_node(TargetEntry, lc);
		ColumnCheck check = CHECK_IMAGE;

		if (undetermined_walker((Node *) column->expr, &walk))
			check = CHECK_NOT;
		else if (chooses && !is_sort_column(query, column))
			check = CHECK_NOT;
		else if (chooses || merges)
			check = check_of_equal((Node *) column->expr);
		if (check == CHECK_NOT && (column->resjunk || column->ressortgroupref != 0) &&
			(chooses || query->distinctClause != NIL))
			return NULL;
		if (!column->resjunk)
			checks[column->resno - 1] = check;
	}
	return checks;
}

/* Returns how the columns of a fold's state are compared: keys, n, aggregates. */
ColumnCheck *
derive_determined_state(ViewPlan *plan)
{
	Stage *stage = plan->stage;
	ColumnCheck *checks = palloc0_array(ColumnCheck, stage->nkeys + stage->ncolumns + 1);
	ColumnCheck *columns = checks + stage->nkeys + 1;

	for (int i = 0; i < stage->nkeys; i++)
		if (stage->keys[i].image_varies)
			checks[i] = stage->keys[i].type == NUMERICOID ? CHECK_VALUE : CHECK_NOT;
	for (int i = 0; i < stage->ncolumns; i++)
	{
		FoldColumn *column = &stage->columns[i];
		Aggref *call = column->call;

		if (column->kind == FOLD_VALUE && !aggregate_is_determined(call))
			columns[i] = CHECK_NOT;
		if (column->kind == FOLD_MIN || column->kind == FOLD_MAX)
			columns[i] = check_of_equal(
				(Node *) linitial_node(TargetEntry, call->args)->expr);
	}
	return checks;
}

/* Returns the least exact way in which the state's columns of an expression are compared. */
static ColumnCheck
check_of_output(Node *expression, const ColumnCheck *state)
{
	ColumnCheck worst = CHECK_IMAGE;
	ListCell *lc;

	if (expression == NULL)
		return CHECK_IMAGE;
	foreach (lc, pull_var_clause(expression, PVC_RECURSE_AGGREGATES |
												 PVC_RECURSE_WINDOWFUNCS |
												 PVC_RECURSE_PLACEHOLDERS))
		worst = Max(worst, state[lfirst_node(Var, lc)->varattno - 1]);
	if (worst == CHECK_VALUE && !IsA(expression, Var))
		return CHECK_NOT;
	return worst;
}

/*
 * Returns how the columns of a stage's rows are compared, or NULL if which rows there are
 * is a matter of choice.
 */
ColumnCheck *
derive_determined_columns(ViewPlan *plan)
{
	Stage *stage = plan->stage;
	ColumnCheck *state, *checks;
	ListCell *lc;

	if (stage->kind == STAGE_KEYS)
		return query_columns(stage->block, stage->region);
	if (stage->kind != STAGE_FOLD)
		return query_columns(plan->query, NULL);

	state = derive_determined_state(plan);
	checks = palloc0_array(ColumnCheck, list_length(stage->outputs) + 1);
	if (check_of_output(stage->having, state) != CHECK_IMAGE)
		return NULL;
	foreach (lc, stage->outputs)
	{
		TargetEntry *output = lfirst_node(TargetEntry, lc);

		checks[output->resno - 1] = check_of_output((Node *) output->expr, state);
	}
	return checks;
}
