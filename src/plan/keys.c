/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Stages of independent parts: windows and DISTINCT ON.
 *
 * A window function sees the rows of its partition, DISTINCT ON those that are equal in
 * its expressions.  So the expressions that all windows of a block partition by, and
 * that DISTINCT ON has, split the block into parts that do not depend on each other:
 * call them kappa.  (Any subset of them does as well, it only makes the parts larger.)
 * When the region below changes, then
 *
 *	1. the parts that may have changed are kappa over the signed rows of the region's
 *	   delta, whatever their signs (a row that leaves and one that arrives with the
 *	   same kappa cancel out in kappa alone, but not in what the block makes of them);
 *	2. their new content is the block with the condition on kappa added to WHERE, that
 *	   is, before windows are computed: it takes or leaves whole partitions;
 *	3. their old content is the stored rows with these values of kappa, so kappa must
 *	   be output columns;
 *	4. the delta is the difference of both.
 *
 * Equality is that of the type's default btree operator class, which is also what
 * partitions are made by; NULL is a value like any other.  With the pattern of NULLs
 * known, a condition is "k = key" or "k IS NULL", which an index serves.
 *
 * The view's key is kappa for DISTINCT ON; otherwise that of the region, because windows
 * add columns and leave the rows as they are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "plan/fold.h"
#include "plan/indexes.h"
#include "plan/keys.h"
#include "plan/region.h"
#include "plan/sql.h"

/*
 * Adds the numbers of the windows that an expression uses to a set; a walker.
 */
static bool
used_windows_walker(Node *node, Bitmapset **used)
{
	if (node == NULL)
		return false;
	if (IsA(node, WindowFunc))
		*used = bms_add_member(*used, ((WindowFunc *) node)->winref);
	return expression_tree_walker(node, used_windows_walker, used);
}

/*
 * Returns the lists of SortGroupClauses that each split a block: of DISTINCT ON, and of
 * each window in use.
 */
static List *
splitting_clauses(Query *query)
{
	Bitmapset *used = NULL;
	List *lists = NIL;
	ListCell *lc;

	used_windows_walker((Node *) query->targetList, &used);
	if (query->hasDistinctOn)
		lists = lappend(lists, query->distinctClause);
	foreach (lc, query->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, lc);

		if (bms_is_member(window->winref, used))
			lists = lappend(lists, window->partitionClause);
	}
	return lists;
}

/*
 * True if an expression is in a list of SortGroupClauses, with an equality.
 */
static bool
clauses_have(Query *query, List *clauses, Node *expression, Oid equality)
{
	ListCell *lc;

	foreach (lc, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);

		if (clause->eqop == equality &&
			equal(get_sortgroupclause_expr(clause, query->targetList), expression))
			return true;
	}
	return false;
}

/*
 * Returns the number of the output column that is an expression, or 0.
 */
static int
find_output(Query *query, Node *expression)
{
	ListCell *lc;

	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk && equal(tle->expr, expression))
			return tle->resno;
	}
	return 0;
}

/*
 * True if all lists of clauses have the expression of one of them, with the same equality.
 */
static bool
is_common(Query *query, List *lists, Node *expression, Oid equality)
{
	ListCell *lc;

	foreach (lc, lists)
	{
		if (!clauses_have(query, lfirst(lc), expression, equality))
			return false;
	}
	return true;
}

/*
 * Finds kappa and describes it in the stage; returns its expressions.  NIL if there is
 * none, then *why says so.
 */
static List *
find_parts(Query *query, Stage *stage, List *lists, char **why)
{
	List *parts = NIL;
	ListCell *lc;

	*why = pstrdup("its windows have no PARTITION BY expression in common");
	stage->keys = palloc0_array(FoldKey, Max(1, list_length(linitial(lists))));
	foreach (lc, (List *) linitial(lists))
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		Node *expression = get_sortgroupclause_expr(clause, query->targetList);
		FoldKey *key = &stage->keys[stage->nkeys];
		int output = find_output(query, expression);

		if (stage->nkeys == INDEX_MAX_KEYS) /* an index finds larger parts, too */
			break;
		if (IsA(expression, Const) || !is_common(query, lists, expression, clause->eqop))
			continue;
		if (output == 0)
		{
			*why = pstrdup(
				"what its windows or DISTINCT ON split rows by is not among the "
				"output columns");
			continue;
		}
		if (list_member_int(stage->lookup, output) ||
			!derive_fold_make_key(key, expression, stage->nkeys + 1, why) ||
			key->eq_op != clause->eqop)
			continue;
		stage->nkeys++;
		stage->lookup = lappend_int(stage->lookup, output);
		parts = lappend(parts, expression);
	}
	return parts;
}

/*
 * Returns the target list of the region that gives the rows below: what uses windows is
 * left out as NULL.
 */
static List *
columns_without_windows(Query *query, Region *region)
{
	List *columns = NIL;
	ListCell *lc;

	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Expr *expression = tle->expr;

		if (tle->resjunk)
			continue;
		if (contain_window_function((Node *) expression))
			expression = (Expr *) makeNullConst(exprType((Node *) expression), -1,
												exprCollation((Node *) expression));
		else
			expression = (Expr *) derive_region_adopt(region, (Node *) expression);
		columns = lappend(columns, makeTargetEntry(expression, tle->resno,
												   pstrdup(tle->resname), false));
	}
	return columns;
}

/*
 * Returns the view's key, see the head of this file.
 */
static List *
make_view_key(Query *query, Stage *stage)
{
	Region *region = stage->region;

	if (query->hasDistinctOn && stage->nkeys == list_length(query->distinctClause))
		return list_copy(stage->lookup);
	region->columns = columns_without_windows(query, region);
	return derive_region_view_key(region);
}

/*
 * Makes the stage of a block with windows or DISTINCT ON, and gives the region its
 * columns, kappa.  NULL if there is no kappa; then *why says so.
 */
Stage *
derive_keys_make(Query *query, Region *region, List **view_key, char **why)
{
	Stage *stage = palloc0_object(Stage);
	List *parts = find_parts(query, stage, splitting_clauses(query), why);
	List *columns = NIL;
	ListCell *lc;

	if (parts == NIL)
		return NULL;
	stage->kind = STAGE_KEYS;
	stage->rule = RULE_AFFECTED_KEYS;
	stage->why = pstrdup("each part of the rows that may have changed is computed again");
	stage->region = region;
	stage->block = copyObject(query);
	*view_key = make_view_key(query, stage);

	foreach (lc, parts)
	{
		int i = foreach_current_index(lc);
		Expr *part = (Expr *) derive_region_adopt(region, lfirst(lc));

		columns = lappend(columns,
						  makeTargetEntry(part, i + 1, stage->keys[i].name, false));
	}
	region->columns = columns;
	return stage;
}

/*
 * Returns the query for the keys that the terms of the region's delta touch.
 */
char *
derive_keys_delta_sql(Stage *stage, const char *with, const char *terms)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%sSELECT DISTINCT ", with);
	for (int i = 1; i <= stage->nkeys; i++)
		appendStringInfo(&sql, "%sd.k%d", i > 1 ? ", " : "", i);
	appendStringInfo(&sql, "\nFROM (\n%s\n) d", terms);
	return sql.data;
}

/*
 * Returns the query for the new content of the parts whose keys are in "touched"; nulls
 * says which keys are NULL in all of its rows.
 */
char *
derive_keys_new_sql(Stage *stage, Bitmapset *nulls, bool pretty)
{
	Query *query = derive_region_select_keys(stage->region, stage->nkeys, stage->keys,
											 nulls);
	Query *block = copyObject(stage->block);

	query->targetList = block->targetList;
	query->windowClause = block->windowClause;
	query->distinctClause = block->distinctClause;
	query->sortClause = block->hasDistinctOn ? block->sortClause : NIL;
	query->hasWindowFuncs = block->hasWindowFuncs;
	query->hasDistinctOn = block->hasDistinctOn;
	return derive_query_deparse(query, pretty);
}

/*
 * Returns the query for the stored rows of these parts.
 */
char *
derive_keys_stored_sql(ViewPlan *plan, Bitmapset *nulls)
{
	Stage *stage = plan->stage;
	StringInfoData sql;
	const char *and = "WHERE ";
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT s.* FROM touched t, ONLY %s s ",
					 derive_relation_name(plan->view));
	foreach (lc, stage->lookup)
	{
		int i = foreach_current_index(lc);
		char *column = psprintf(
			"s.%s", quote_identifier(get_attname(plan->view, lfirst_int(lc), false)));

		if (bms_is_member(i, nulls))
			appendStringInfo(&sql, "%s%s IS NOT DISTINCT FROM NULL", and, column);
		else
			appendStringInfo(&sql, "%s%s", and,
							 derive_sql_equality(stage->keys[i].eq_op, column,
												 psprintf("t.k%d", i + 1)));
		and = " AND ";
	}
	return sql.data;
}
