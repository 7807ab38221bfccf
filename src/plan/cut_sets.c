/*-------------------------------------------------------------------------
 *
 * cut_sets.c
 *	  Set operations and GROUPING SETS into blocks.
 *
 * UNION ALL of plain blocks is a block.  The other set operations are groups over one:
 * with each row the side that it comes from,
 *
 *	UNION			SELECT columns ... GROUP BY columns
 *	INTERSECT		... HAVING there are some of the left and some of the right
 *	EXCEPT			... HAVING there are some of the left and none of the right
 *	INTERSECT ALL	each row as often as the smaller number says
 *	EXCEPT ALL		each row as often as the difference says
 *
 * GROUPING SETS are a UNION ALL of one grouping for each set, in which NULL stands for the
 * group expressions that the set leaves out, and constants for GROUPING().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_agg.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "plan/cut_private.h"
#include "plan/region.h"
#include "plan/scale.h"
#include "plan/surgery.h"

/* More grouping sets than this are refused by core, too. */
#define MAX_GROUPING_SETS 4096

/*
 * Returns "c1, c2, ... cn".
 */
static char *
column_list(int n)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 1; i <= n; i++)
		appendStringInfo(&sql, "%sc%d", i > 1 ? ", " : "", i);
	return sql.data;
}

/* ---------- set operations ---------- */

/*
 * Returns the text of one branch: a query's rows, cast to the set operation's types.
 */
static char *
branch_text(Cut *cut, Query *query, SetOperationStmt *types)
{
	StringInfoData sql;
	int number = 1;
	ListCell *ltype, *ltypmod, *lcollation;

	query = derive_cut_query(cut, query);
	if (!derive_cut_is_plain(query) || query->hasTargetSRFs)
		query = derive_surgery_over(derive_cut_stage(cut, query));

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	forthree (ltype, types->colTypes, ltypmod, types->colTypmods, lcollation,
			  types->colCollations)
	{
		appendStringInfo(
			&sql, "%sq.c%d::%s", number > 1 ? ", " : "", number,
			format_type_extended(lfirst_oid(ltype), lfirst_int(ltypmod),
								 FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		if (OidIsValid(lfirst_oid(lcollation)))
			appendStringInfo(&sql, " COLLATE %s",
							 derive_query_deparse_collation(lfirst_oid(lcollation)));
		appendStringInfo(&sql, " AS c%d", number++);
	}
	appendStringInfo(&sql, " FROM %s", derive_cut_from_text(query));
	return sql.data;
}

static Query *cut_set_tree(Cut *cut, Query *query, Node *node);

/*
 * Collects the texts of the branches below a node of a set operation that can be
 * joined by UNION ALL; duplicates: it does not matter how often a row is there.
 */
static List *
collect_branches(Cut *cut, Query *query, Node *node, SetOperationStmt *types,
				 bool duplicates)
{
	SetOperationStmt *op = (SetOperationStmt *) node;

	if (IsA(node, SetOperationStmt) && op->op == SETOP_UNION && (op->all || duplicates) &&
		equal(op->colTypes, types->colTypes) &&
		equal(op->colCollations, types->colCollations))
		return list_concat(collect_branches(cut, query, op->larg, types, duplicates),
						   collect_branches(cut, query, op->rarg, types, duplicates));
	return list_make1(branch_text(cut, cut_set_tree(cut, query, node), types));
}

/*
 * Returns branches joined by UNION ALL; side: number in a further column, or 0.
 */
static void
append_branches(StringInfo sql, List *branches, int side)
{
	ListCell *lc;

	foreach (lc, branches)
	{
		appendStringInfoString(sql, sql->len > 0 ? "\nUNION ALL\n" : "");
		if (side > 0)
			appendStringInfo(sql, "SELECT b.*, %d AS side FROM (%s) b", side,
							 (char *) lfirst(lc));
		else
			appendStringInfo(sql, "%s", (char *) lfirst(lc));
	}
}

/*
 * Returns "c1, c2, ... cn" of groups as a row of the left side shows them: rows of the right
 * side only take some away, however their equal values look.  Arrays are left out, since
 * array_agg would make one array of them.
 */
static char *
left_column_list(SetOperationStmt *op)
{
	StringInfoData sql;
	ListCell *ltype, *ltypmod, *lcollation;
	int number = 0;

	initStringInfo(&sql);
	forthree (ltype, op->colTypes, ltypmod, op->colTypmods, lcollation, op->colCollations)
	{
		Oid type = lfirst_oid(ltype);
		TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY);
		Var *column = makeVar(1, ++number, type, lfirst_int(ltypmod),
							  lfirst_oid(lcollation), 0);
		bool chosen = OidIsValid(entry->btree_opf) && !type_is_array_domain(type) &&
					  derive_image_may_vary((Node *) column, entry, column->varcollid);

		appendStringInfo(
			&sql, chosen ? "%s(pg_catalog.array_agg(c%d ORDER BY side))[1]" : "%sc%d",
			number > 1 ? ", " : "", number);
	}
	return sql.data;
}

/*
 * Returns a set operation as a query of blocks.
 */
static Query *
cut_set_tree(Cut *cut, Query *query, Node *node)
{
	SetOperationStmt *op = (SetOperationStmt *) node;
	bool distinct;
	StringInfoData rows;
	char *columns;
	const char *left = "pg_catalog.count(*) FILTER (WHERE side = 1)";
	const char *right = "pg_catalog.count(*) FILTER (WHERE side = 2)";
	char *sql;

	if (IsA(node, RangeTblRef))
		return rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery;

	distinct = !op->all;
	columns = column_list(list_length(op->colTypes));
	initStringInfo(&rows);
	append_branches(&rows, collect_branches(cut, query, op->larg, op, distinct),
					op->op == SETOP_UNION ? 0 : 1);
	append_branches(&rows, collect_branches(cut, query, op->rarg, op, distinct),
					op->op == SETOP_UNION ? 0 : 2);
	if (op->op == SETOP_UNION && op->all)
		sql = rows.data;
	else if (op->op == SETOP_UNION)
		sql = psprintf("SELECT %s FROM (%s) u GROUP BY %s", columns, rows.data, columns);
	else if (distinct)
		sql = psprintf("SELECT %s FROM (%s) u GROUP BY %s HAVING %s > 0 AND %s %s 0",
					   columns, rows.data, columns, left, right,
					   op->op == SETOP_INTERSECT ? ">" : "=");
	else
		sql = psprintf("SELECT %s FROM (SELECT %s, %s, %s FROM (%s) u GROUP BY %s)"
					   " f(%s, l, r), LATERAL pg_catalog.generate_series(1, %s) g",
					   columns, left_column_list(op), left, right, rows.data, columns,
					   columns,
					   op->op == SETOP_INTERSECT ? "LEAST(f.l, f.r)" : "f.l - f.r");
	return derive_surgery_parse(sql);
}

/*
 * True if a query is a UNION ALL of plain blocks.
 */
static bool
is_union_all(Query *query, Node *node)
{
	SetOperationStmt *op = (SetOperationStmt *) node;

	if (node == NULL || derive_cut_has_limit(query))
		return false;
	if (IsA(node, RangeTblRef))
	{
		Query *leaf = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery;

		return derive_cut_is_plain(leaf);
	}
	return op->op == SETOP_UNION && op->all && is_union_all(query, op->larg) &&
		   is_union_all(query, op->rarg);
}

/*
 * Opens the subqueries in the leaves of a UNION ALL.
 */
static void
open_leaves(Cut *cut, Query *query, Node *node)
{
	if (IsA(node, SetOperationStmt))
	{
		open_leaves(cut, query, ((SetOperationStmt *) node)->larg);
		open_leaves(cut, query, ((SetOperationStmt *) node)->rarg);
	}
	else
		derive_cut_open(
			cut, rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery);
}

/*
 * Cuts a query that is a set operation.
 */
Query *
derive_cut_set_operation(Cut *cut, Query *query)
{
	Query *result;

	if (derive_surgery_refers_outside((Node *) query, 0))
		return query;
	result = cut_set_tree(cut, query, query->setOperations);
	if (result->setOperations == NULL)
		return derive_cut_take_names(derive_cut_query(cut, result), query);
	open_leaves(cut, result, result->setOperations);
	if (!is_union_all(result, result->setOperations))
		elog(ERROR, "a branch of UNION ALL could not be cut");
	return derive_cut_take_names(result, query);
}

/* ---------- GROUPING SETS ---------- */

typedef struct GroupingSetContext
{
	Query *query;
	List *set;		/* sort group references in this set */
	List *excluded; /* group expressions that are not */
	List *included;
} GroupingSetContext;

/*
 * Puts NULL in place of group expressions that are not in a set, and a constant in
 * place of GROUPING(); a mutator.  What an aggregate is computed of are rows, which have
 * these values, but its direct arguments are those of the group.
 */
static Node *
grouping_set_mutator(Node *node, GroupingSetContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, GroupingFunc) && ((GroupingFunc *) node)->agglevelsup == 0)
	{
		int bits = 0;
		ListCell *lc;

		foreach (lc, ((GroupingFunc *) node)->refs)
			bits = bits << 1 | !list_member_int(context->set, lfirst_int(lc));
		return (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
								  Int32GetDatum(bits), false, true);
	}
	if (IsA(node, Aggref))
	{
		Aggref *aggref = (Aggref *) node;

		aggref->aggdirectargs = (List *) grouping_set_mutator(
			(Node *) aggref->aggdirectargs, context);
		return node;
	}
	if (list_member(context->included, node))
		return node;
	if (list_member(context->excluded, node))
		return derive_surgery_null(exprType(node), exprTypmod(node), exprCollation(node));
	return expression_tree_mutator(node, grouping_set_mutator, context);
}

/*
 * Returns a query with GROUPING SETS as it is for one of the sets.
 */
static Query *
query_of_set(Query *query, List *set)
{
	Query *result = copyObject(query);
	GroupingSetContext context = {result, set, NIL, NIL};
	List *clauses = NIL;
	List *targets = NIL;
	ListCell *lc;

	foreach (lc, result->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		Node *expr = get_sortgroupclause_expr(clause, result->targetList);

		if (list_member_int(set, clause->tleSortGroupRef))
		{
			clauses = lappend(clauses, clause);
			context.included = lappend(context.included, expr);
		}
		else
			context.excluded = lappend(context.excluded, expr);
	}
	context.excluded = list_difference(context.excluded, context.included);
	foreach (lc, result->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk && !list_member_int(set, tle->ressortgroupref))
			continue;
		if (!list_member_int(set, tle->ressortgroupref))
			tle->ressortgroupref = 0;
		tle->expr = (Expr *) grouping_set_mutator((Node *) tle->expr, &context);
		targets = lappend(targets, tle);
	}
	foreach (lc, targets)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
	result->targetList = targets;
	result->havingQual = grouping_set_mutator(result->havingQual, &context);
	result->groupClause = clauses;
	result->groupingSets = NIL;
	result->groupDistinct = false;
	/* GROUP BY () makes one group even without an aggregate */
	if (clauses == NIL && !result->hasAggs && result->havingQual == NULL)
		result->havingQual = makeBoolConst(true, false);
	return result;
}

/*
 * Cuts GROUPING SETS into one grouping for each set.
 */
Query *
derive_cut_grouping_sets(Cut *cut, Query *query)
{
	List *sets = expand_grouping_sets(query->groupingSets, query->groupDistinct,
									  MAX_GROUPING_SETS);
	StringInfoData sql;
	ListCell *lc;

	if (derive_surgery_refers_outside((Node *) query, 0))
		return query;
	initStringInfo(&sql);
	foreach (lc, sets)
	{
		Query *one = query_of_set(query, lfirst(lc));
		Oid relid = derive_cut_stage(cut, one);

		appendStringInfo(&sql, "%sSELECT q.* FROM %s", sql.len > 0 ? "\nUNION ALL\n" : "",
						 derive_cut_from_text(derive_surgery_over(relid)));
	}
	return derive_cut_take_names(derive_cut_query(cut, derive_surgery_parse(sql.data)),
								 query);
}
