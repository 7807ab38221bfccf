/*-------------------------------------------------------------------------
 *
 * queries.c
 *	  A query and those within it.
 *
 * What must be done for all relations that a query reads (locks, permissions) must not
 * forget those that only a subquery names, in FROM, WITH or an expression.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"

#include "base/queries.h"

/*
 * Collects queries; a walker.
 */
static bool
collect_walker(Node *node, List **queries)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		*queries = lappend(*queries, node);
		return query_tree_walker((Query *) node, collect_walker, queries, 0);
	}
	return expression_tree_walker(node, collect_walker, queries);
}

/*
 * Returns a query, and all subqueries at any depth, as a list; none is copied.
 */
List *
derive_queries_within(Query *query)
{
	List *queries = NIL;

	collect_walker((Node *) query, &queries);
	return queries;
}
