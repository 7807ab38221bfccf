/*-------------------------------------------------------------------------
 *
 * classify.c
 *	  Which stage a block of a query can be.
 *
 * A recursive query is judged by recursion.c, any other block here.
 *
 * Judged by the block's shape alone: what it has beside FROM and WHERE, and whether
 * FROM and WHERE are a region that algebra.c has a delta for.  What depends on types
 * (keys without an order) or on the output columns (keys that are not among them) is
 * found out when the stage is made, and then the block is recomputed as well.
 *
 * To open the gate for a construct that has found a rule, take its line out of the
 * table that has it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

#include "plan/classify.h"
#include "plan/first.h"
#include "plan/recursion.h"
#include "plan/region.h"
#include "plan/sources.h"

/* A construct that keeps a block from being a stage of some kind. */
typedef struct Obstacle
{
	bool present;
	const char *construct; /* for "... can only be recomputed" */
} Obstacle;

/*
 * Returns the first construct of a table that is present, or NULL.
 */
static const char *
first_obstacle(const Obstacle *obstacles, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (obstacles[i].present)
			return obstacles[i].construct;
	}
	return NULL;
}

/*
 * True if core can always carry out a full join with these conditions, even where no
 * condition above makes a left one of it: some equality can be hashed, or there is none.
 */
static bool
is_full_joinable(Node *quals)
{
	ListCell *lc;

	if (quals == NULL || IsA(quals, Const))
		return true;
	foreach (lc, derive_region_split_condition(quals))
	{
		OpExpr *op = lfirst(lc);
		Bitmapset *left;
		Bitmapset *right;

		if (!IsA(op, OpExpr) || list_length(op->args) != 2 ||
			!op_hashjoinable(op->opno, exprType(linitial(op->args))))
			continue;
		left = pull_varnos(NULL, linitial(op->args));
		right = pull_varnos(NULL, lsecond(op->args));
		if (!bms_is_empty(left) && !bms_is_empty(right) && !bms_overlap(left, right))
			return true;
	}
	return false;
}

/*
 * Returns what in FROM algebra.c has no delta for, or NULL.
 */
static const char *
join_tree_obstacle(Query *query, Node *node)
{
	const char *obstacle = NULL;
	ListCell *lc;

	if (IsA(node, RangeTblRef))
	{
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable);
		bool subquery = rte->rtekind == RTE_SUBQUERY && !derive_region_is_values(rte);
		Obstacle obstacles[] = {
			{rte->rtekind == RTE_CTE && !rte->self_reference,
			 "a common table expression"},
			{subquery && rte->lateral, "a LATERAL subquery"},
			{subquery, "a subquery in FROM"},
			{rte->rtekind == RTE_TABLEFUNC, "XMLTABLE or JSON_TABLE"},
			{rte->tablesample != NULL, "TABLESAMPLE"},
			{rte->rtekind == RTE_RELATION && derive_sources_is_silent(rte->relid),
			 "a foreign table or a materialized view"},
			{checkExprHasSubLink((Node *) rte->functions) ||
				 checkExprHasSubLink((Node *) rte->values_lists),
			 "a subquery in a function of FROM or in VALUES"},
		};

		return first_obstacle(obstacles, lengthof(obstacles));
	}
	if (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;

		if (checkExprHasSubLink(join->quals))
			return "a subquery in a join condition";
		if (join->jointype == JOIN_FULL && !is_full_joinable(join->quals))
			return "a full join without an equality that can be hashed";
		obstacle = join_tree_obstacle(query, join->larg);
		return obstacle ? obstacle : join_tree_obstacle(query, join->rarg);
	}
	foreach (lc, castNode(FromExpr, node)->fromlist)
	{
		if (obstacle == NULL)
			obstacle = join_tree_obstacle(query, lfirst(lc));
	}
	return obstacle;
}

/*
 * Returns what in WHERE algebra.c has no delta for, or NULL: subqueries other than
 * EXISTS and NOT EXISTS of plain blocks.
 */
static const char *
condition_obstacle(Query *query)
{
	ListCell *lc;

	foreach (lc, derive_region_split_condition(query->jointree->quals))
	{
		bool negated;
		Query *block = derive_region_exists_block(lfirst(lc), &negated);
		const char *obstacle = NULL;

		if (block == NULL && checkExprHasSubLink(lfirst(lc)))
			return "a subquery in a condition";
		if (block != NULL)
			obstacle = join_tree_obstacle(block, (Node *) block->jointree);
		if (block != NULL && obstacle == NULL)
			obstacle = condition_obstacle(block);
		if (obstacle != NULL)
			return obstacle;
	}
	return NULL;
}

/*
 * Returns what keeps FROM, WHERE and the columns from being a region, or NULL.
 */
static const char *
region_obstacle(Query *query)
{
	Obstacle obstacles[] = {
		{query->cteList != NIL, "WITH"},
		{checkExprHasSubLink((Node *) query->targetList) ||
			 checkExprHasSubLink(query->havingQual),
		 "a subquery in an expression"},
		{derive_sources_read_whole_rows(query), "a reference to a whole row"},
	};
	const char *obstacle = first_obstacle(obstacles, lengthof(obstacles));

	if (obstacle == NULL)
		obstacle = join_tree_obstacle(query, (Node *) query->jointree);
	return obstacle ? obstacle : condition_obstacle(query);
}

/*
 * True if a query has GROUP BY, aggregates or HAVING.
 */
static bool
groups(Query *query)
{
	return query->hasAggs || query->groupClause != NIL || query->groupingSets != NIL ||
		   query->havingQual != NULL;
}

/*
 * True if a query has LIMIT or OFFSET.
 */
static bool
has_limit(Query *query)
{
	return query->limitCount != NULL || query->limitOffset != NULL;
}

/*
 * Returns what keeps a query from being a UNION ALL of regions, or NULL.
 */
static const char *
union_obstacle(Query *query, Node *node)
{
	SetOperationStmt *op = (SetOperationStmt *) node;
	const char *obstacle;

	if (IsA(node, SetOperationStmt))
	{
		if (op->op != SETOP_UNION || !op->all)
			return "UNION, INTERSECT or EXCEPT";
		obstacle = union_obstacle(query, op->larg);
		return obstacle ? obstacle : union_obstacle(query, op->rarg);
	}
	else
	{
		Query *leaf = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery;
		Obstacle obstacles[] = {
			{leaf->setOperations != NULL, "UNION, INTERSECT or EXCEPT"},
			{groups(leaf), "groups in a branch of UNION ALL"},
			{leaf->hasWindowFuncs, "window functions in a branch of UNION ALL"},
			{leaf->distinctClause != NIL, "DISTINCT in a branch of UNION ALL"},
			{has_limit(leaf), "LIMIT or OFFSET in a branch of UNION ALL"},
		};

		obstacle = first_obstacle(obstacles, lengthof(obstacles));
		return obstacle ? obstacle : region_obstacle(leaf);
	}
}

/*
 * True if an expression has GROUPING in it; a walker.
 */
static bool
has_grouping_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, GroupingFunc))
		return true;
	return expression_tree_walker(node, has_grouping_walker, context);
}

/*
 * Returns the kind of stage that a block's shape allows, see classify.h.
 */
StageKind
derive_classify_block(Query *query, const char **obstacle)
{
	bool windows = query->hasWindowFuncs;
	bool distinct = query->distinctClause != NIL;
	bool sets = query->hasTargetSRFs;
	const char *limit = has_limit(query) ? derive_first_obstacle(query) : NULL;
	Obstacle obstacles[] = {
		{query->groupingSets != NIL, "GROUPING SETS, ROLLUP or CUBE"},
		{has_grouping_walker((Node *) query->targetList, NULL) ||
			 has_grouping_walker(query->havingQual, NULL),
		 "GROUPING"},
		{groups(query) && windows, "window functions over groups"},
		{groups(query) && distinct, "DISTINCT over groups"},
		{sets && (groups(query) || windows || distinct),
		 "a set-returning function in the output of groups, windows or DISTINCT"},
		{limit != NULL, limit},
	};

	*obstacle = first_obstacle(obstacles, lengthof(obstacles));
	if (*obstacle == NULL)
		*obstacle = query->setOperations != NULL
						? union_obstacle(query, query->setOperations)
						: region_obstacle(query);
	if (*obstacle != NULL)
		return STAGE_RECOMPUTE;
	if (windows || query->hasDistinctOn)
		return STAGE_KEYS;
	if (has_limit(query))
		return STAGE_FIRST;
	return groups(query) || distinct ? STAGE_FOLD : STAGE_LINEAR;
}

/*
 * Returns the kind of stage that a block's shape allows, and for STAGE_RECOMPUTE in
 * *why the reason as a sentence.
 */
StageKind
derive_classify(Query *query, char **why)
{
	StageKind kind = STAGE_RECURSION;
	const char *obstacle;

	if (derive_recursion_is(query))
		obstacle = derive_recursion_obstacle(query);
	else
		kind = derive_classify_block(query, &obstacle);
	if (obstacle == NULL)
		return kind;
	*why = psprintf("%s cannot be followed change by change", obstacle);
	return STAGE_RECOMPUTE;
}
