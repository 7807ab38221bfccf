/*-------------------------------------------------------------------------
 *
 * cut_recursion.c
 *	  The parts of a recursive query that do not recur, cut out of it.
 *
 * A recursive query is one stage, but what its terms read need not be tables: a branch
 * of the non-recursive term that is more than a join becomes a stage of its own, and the
 * recursive term is cut like any block, so that subqueries and ordinary views in it become
 * part of it, or stages.  That is done only if the recursion can be followed then, see
 * recursion.c; one that is recomputed anyway stays as it is.
 *
 * The recursive name itself stays where it is: subqueries that have it refer to a query
 * around them, and those no cut takes out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"

#include "plan/cut_private.h"
#include "plan/recursion.h"
#include "plan/surgery.h"

/* What a walk over references to a WITH query must know. */
typedef struct ReadContext
{
	CommonTableExpr *cte;
	List *queries; /* the present query, then those around it */
} ReadContext;

/*
 * True if a Var is a column of a WITH query that SEARCH or CYCLE have added, or its whole
 * row; a walker.
 */
static bool
reads_added_walker(Node *node, ReadContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup < list_length(context->queries))
	{
		Var *var = (Var *) node;
		Query *query = list_nth(context->queries, var->varlevelsup);
		RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);

		return rte->rtekind == RTE_CTE &&
			   strcmp(rte->ctename, context->cte->ctename) == 0 &&
			   (var->varattno > list_length(context->cte->ctecolnames) ||
				var->varattno == InvalidAttrNumber);
	}
	if (IsA(node, Query))
	{
		bool found;

		context->queries = lcons(node, context->queries);
		found = query_tree_walker((Query *) node, reads_added_walker, context, 0);
		context->queries = list_delete_first(context->queries);
		return found;
	}
	return expression_tree_walker(node, reads_added_walker, context);
}

/*
 * True if a query reads columns of a WITH query that SEARCH or CYCLE have added to it.
 */
static bool
reads_added(Query *query, CommonTableExpr *cte)
{
	ReadContext context = {cte, NIL};

	return (cte->search_clause != NULL || cte->cycle_clause != NULL) &&
		   reads_added_walker((Node *) query, &context);
}

/*
 * Makes "SELECT * FROM a WITH query of this level".  Those before it are gone from it.
 */
static Query *
select_from_cte(Query *query, CommonTableExpr *cte)
{
	Query *result = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell *lname, *ltype, *ltypmod, *lcollation;

	rte->rtekind = RTE_CTE;
	rte->ctename = cte->ctename;
	rte->eref = makeAlias(cte->ctename, copyObject(cte->ctecolnames));
	rte->coltypes = cte->ctecoltypes;
	rte->coltypmods = cte->ctecoltypmods;
	rte->colcollations = cte->ctecolcollations;
	rte->inFromCl = true;
	ref->rtindex = 1;

	result->commandType = CMD_SELECT;
	result->canSetTag = true;
	result->cteList = list_make1(copyObject(cte));
	result->hasRecursive = query->hasRecursive;
	result->rtable = list_make1(rte);
	result->jointree = makeFromExpr(list_make1(ref), NULL);
	forfour(lname, cte->ctecolnames, ltype, cte->ctecoltypes, ltypmod, cte->ctecoltypmods,
			lcollation, cte->ctecolcollations)
	{
		int number = list_length(result->targetList) + 1;

		result->targetList = lappend(
			result->targetList,
			makeTargetEntry((Expr *) makeVar(1, number, lfirst_oid(ltype),
											 lfirst_int(ltypmod), lfirst_oid(lcollation),
											 0),
							number, psprintf("c%d", number), false));
	}
	return result;
}

/*
 * Cuts the branches of the non-recursive term, and makes stages of those that cannot be
 * part of the recursion's.
 */
static void
cut_branches(Cut *cut, Query *body, Node *node)
{
	RangeTblEntry *rte;

	if (IsA(node, SetOperationStmt))
	{
		cut_branches(cut, body, ((SetOperationStmt *) node)->larg);
		cut_branches(cut, body, ((SetOperationStmt *) node)->rarg);
		return;
	}
	rte = rt_fetch(castNode(RangeTblRef, node)->rtindex, body->rtable);
	if (derive_surgery_refers_outside((Node *) rte->subquery, 0))
		return;
	rte->subquery = derive_cut_query(cut, rte->subquery);
	if (!derive_recursion_takes(rte->subquery) && derive_cut_is_storable(rte->subquery))
		rte->subquery = derive_surgery_over(derive_cut_make_stage(cut, rte->subquery));
}

/*
 * Cuts the terms of a query that is the rows of a recursive one, if it is followed then.
 */
static Query *
cut_terms(Cut *cut, Query *query)
{
	Query *copy = copyObject(query);
	CommonTableExpr *cte = linitial_node(CommonTableExpr, copy->cteList);
	Query *body = castNode(Query, cte->ctequery);
	SetOperationStmt *top = (SetOperationStmt *) body->setOperations;

	if (top == NULL || body->cteList != NIL || !IsA(top->rarg, RangeTblRef))
		return query;
	cte->aliascolnames = copyObject(cte->ctecolnames); /* a stage has names of its own */
	cut_branches(cut, body, top->larg);
	derive_cut_open(
		cut, rt_fetch(((RangeTblRef *) top->rarg)->rtindex, body->rtable)->subquery);
	return derive_recursion_is_followed(copy) ? copy : query;
}

/*
 * Returns the stage's query for a recursive WITH query, see cut_private.h.
 */
Query *
derive_cut_recursion(Cut *cut, Query *query, CommonTableExpr *cte)
{
	Query *whole = select_from_cte(query, cte);

	if (derive_surgery_refers_outside((Node *) whole, 0) ||
		!derive_cut_is_storable(whole) || reads_added(query, cte))
		return NULL;
	return cut_terms(cut, whole);
}
