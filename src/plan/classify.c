/*-------------------------------------------------------------------------
 *
 * classify.c
 *	  Which stage a block of a query can be.
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

#include "plan/classify.h"
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
		Obstacle obstacles[] = {
			{rte->rtekind == RTE_CTE, "a common table expression"},
			{rte->lateral, "LATERAL"},
			{rte->rtekind == RTE_SUBQUERY, "a subquery in FROM"},
			{rte->rtekind == RTE_FUNCTION, "a function in FROM"},
			{rte->rtekind == RTE_VALUES, "VALUES"},
			{rte->rtekind != RTE_RELATION, "this kind of FROM item"},
		};

		return first_obstacle(obstacles, lengthof(obstacles));
	}
	if (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;

		if (join->jointype != JOIN_INNER)
			return "an outer join";
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
 * Returns what keeps FROM and WHERE from being a region, or NULL.
 */
static const char *
region_obstacle(Query *query)
{
	Obstacle obstacles[] = {
		{query->cteList != NIL, "WITH"},
		{query->setOperations != NULL, "UNION, INTERSECT or EXCEPT"},
		{query->jointree->fromlist == NIL, "a query without FROM"},
		{query->limitCount != NULL || query->limitOffset != NULL, "LIMIT or OFFSET"},
		{query->hasSubLinks, "a subquery in an expression"},
		{query->hasTargetSRFs, "a set-returning function in the output"},
		{derive_sources_read_whole_rows(query), "a reference to a whole row"},
	};
	const char *obstacle = first_obstacle(obstacles, lengthof(obstacles));

	return obstacle ? obstacle : join_tree_obstacle(query, (Node *) query->jointree);
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
 * Returns the kind of stage that a block's shape allows, and for STAGE_RECOMPUTE in
 * *why the reason as a sentence.
 */
StageKind
derive_classify(Query *query, char **why)
{
	bool windows = query->hasWindowFuncs;
	bool distinct = query->distinctClause != NIL;
	const char *obstacle = region_obstacle(query);
	Obstacle obstacles[] = {
		{query->groupingSets != NIL, "GROUPING SETS, ROLLUP or CUBE"},
		{has_grouping_walker((Node *) query->targetList, NULL) ||
			 has_grouping_walker(query->havingQual, NULL),
		 "GROUPING"},
		{groups(query) && windows, "window functions over groups"},
		{groups(query) && distinct, "DISTINCT over groups"},
	};

	if (obstacle == NULL)
		obstacle = first_obstacle(obstacles, lengthof(obstacles));
	if (obstacle != NULL)
	{
		*why = psprintf("%s cannot be followed change by change", obstacle);
		return STAGE_RECOMPUTE;
	}
	if (windows || query->hasDistinctOn)
		return STAGE_KEYS;
	return groups(query) || distinct ? STAGE_FOLD : STAGE_LINEAR;
}
