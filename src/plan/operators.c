/*-------------------------------------------------------------------------
 *
 * operators.c
 *	  Text that is read again with the operators of the query it was.
 *
 * Core prints an operator outside pg_catalog with its schema, as OPERATOR(public.=).  Some
 * constructs have no place for that, and say "=" or "<" alone.  Read again where only
 * pg_catalog is searched, these are other operators, if any: of two citext, the equality of
 * their text.  So before a query becomes text, such a construct takes a form that means the
 * same and names its operators:
 *
 *	NULLIF(a, b)			CASE WHEN a = b THEN NULL ELSE a END
 *	CASE a WHEN b ...		CASE WHEN a = b ...
 *	a IS DISTINCT FROM b	CASE WHEN a IS NULL THEN b IS NOT NULL
 *								 WHEN b IS NULL THEN true ELSE NOT a = b END
 *	(a, b) < (c, d)			CASE WHEN a = c THEN b < d WHEN NOT a = c THEN a < c END
 *	(a, b) = (SELECT ...)	(SELECT a = q.c1 AND b = q.c2 FROM (SELECT ...) q)
 *	(a, b) IN (SELECT ...)	true = ANY (SELECT a = q.c1 AND b = q.c2 FROM (SELECT ...) q)
 *	JOIN ... USING			JOIN ... ON
 *
 * IS NULL is here that of the value: a row of NULLs is none.  A comparison of rows is printed
 * with the first column's operator alone.  What is written twice is evaluated twice, and has
 * the same value: it is immutable.  What has core's own operators stays as it is, because
 * those are found, and the planner knows more of these constructs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

#include "plan/gate.h"
#include "plan/operators.h"
#include "plan/surgery.h"

/*
 * True if an operator is printed with its schema.
 */
static bool
is_named(Oid operator)
{
	return operator>= FirstGenbkiObjectId;
}

/*
 * True if an expression, without the subqueries in it, has an operator that is printed with
 * its schema; a walker.
 */
static bool
named_walker(Node *node, void *context)
{
	ListCell *lc;

	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, OpExpr) && is_named(((OpExpr *) node)->opno))
		return true;
	if (IsA(node, RowCompareExpr))
		foreach (lc, ((RowCompareExpr *) node)->opnos)
			if (is_named(lfirst_oid(lc)))
				return true;
	return expression_tree_walker(node, named_walker, context);
}

/*
 * Makes a comparison.
 */
static Expr *
compare(Oid operator, Node * left, Node *right, Oid collation)
{
	Expr *comparison = make_opclause(operator, BOOLOID, false, copyObject((Expr *) left),
									 copyObject((Expr *) right), InvalidOid, collation);

	set_opfuncid((OpExpr *) comparison);
	return comparison;
}

/*
 * Makes a test of an expression's value for NULL.
 */
static Expr *
is_null(Node *node, NullTestType type)
{
	NullTest *test = makeNode(NullTest);

	test->arg = copyObject((Expr *) node);
	test->nulltesttype = type;
	test->argisrow = false;
	test->location = -1;
	return (Expr *) test;
}

/*
 * Makes CASE with one or two conditions.
 */
static Node *
choose(Expr *first, Node *result, Expr *second, Node *second_result, Node *otherwise)
{
	CaseExpr *expression = makeNode(CaseExpr);

	expression->casetype = exprType(result);
	expression->casecollid = exprCollation(result);
	for (int i = 0; i < (second == NULL ? 1 : 2); i++)
	{
		CaseWhen *when = makeNode(CaseWhen);

		when->expr = i == 0 ? first : second;
		when->result = (Expr *) (i == 0 ? result : second_result);
		when->location = -1;
		expression->args = lappend(expression->args, when);
	}
	expression->defresult = (Expr *) otherwise;
	expression->location = -1;
	return (Node *) expression;
}

/*
 * Returns NULLIF as CASE.
 */
static Node *
say_nullif(NullIfExpr *nullif)
{
	Node *left = linitial(nullif->args);
	Node *null = derive_surgery_null(exprType((Node *) nullif),
									 exprTypmod((Node *) nullif), nullif->opcollid);

	return choose(compare(nullif->opno, left, lsecond(nullif->args), nullif->inputcollid),
				  null, NULL, NULL, left);
}

/*
 * Returns IS DISTINCT FROM as CASE.
 */
static Node *
say_distinct(DistinctExpr *distinct)
{
	Node *left = linitial(distinct->args);
	Node *right = lsecond(distinct->args);
	Expr *equal = compare(distinct->opno, left, right, distinct->inputcollid);

	return choose(is_null(left, IS_NULL), (Node *) is_null(right, IS_NOT_NULL),
				  is_null(right, IS_NULL), makeBoolConst(true, false),
				  (Node *) make_notclause(equal));
}

/*
 * Returns a comparison of rows as comparisons of their columns.
 */
static Node *
say_row_comparison(RowCompareExpr *rows)
{
	Node *result = NULL;

	for (int i = list_length(rows->opnos) - 1; i >= 0; i--)
	{
		Oid operator= list_nth_oid(rows->opnos, i);
		Oid collation = list_nth_oid(rows->inputcollids, i);
		Node *left = list_nth(rows->largs, i);
		Node *right = list_nth(rows->rargs, i);
		Expr *differ = compare(operator, left, right, collation);
		Oid types[2];
		Oid equality;

		if (result == NULL)
		{
			result = (Node *) differ;
			continue;
		}
		op_input_types(operator, & types[0], &types[1]);
		equality = get_opfamily_member(list_nth_oid(rows->opfamilies, i), types[0],
									   types[1], BTEqualStrategyNumber);
		result = choose(compare(equality, left, right, collation), result,
						make_notclause(compare(equality, left, right, collation)),
						(Node *) differ, makeBoolConst(false, true));
	}
	return result;
}

/*
 * Puts an expression in the place of the argument of CASE, below the coercions that
 * it has there; a mutator.
 */
static Node *
argument_mutator(Node *node, Node *argument)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
		return copyObject(argument);
	if (IsA(node, ArrayCoerceExpr)) /* has such a placeholder for its elements */
	{
		ArrayCoerceExpr *coerce = copyObject((ArrayCoerceExpr *) node);

		coerce->arg = (Expr *) argument_mutator((Node *) coerce->arg, argument);
		return (Node *) coerce;
	}
	return expression_tree_mutator(node, argument_mutator, argument);
}

/*
 * Gives CASE conditions instead of an argument, if one of the comparisons with that has
 * a named operator.
 */
static void
say_case(CaseExpr *expression)
{
	bool named = false;
	ListCell *lc;

	foreach (lc, expression->args)
	{
		OpExpr *op = (OpExpr *) lfirst_node(CaseWhen, lc)->expr;

		named |= expression->arg != NULL && IsA(op, OpExpr) && is_named(op->opno);
	}
	if (!named)
		return;
	foreach (lc, expression->args)
	{
		OpExpr *op = castNode(OpExpr, lfirst_node(CaseWhen, lc)->expr);

		linitial(op->args) = argument_mutator(linitial(op->args),
											  (Node *) expression->arg);
	}
	expression->arg = NULL;
}

/*
 * Puts columns of the range table entry 1 in place of the parameters that stand for
 * columns of a subquery; a mutator.
 */
static Node *
parameter_mutator(Node *node, void *context)
{
	Param *param = (Param *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && param->paramkind == PARAM_SUBLINK)
		return (Node *) makeVar(1, param->paramid, param->paramtype, param->paramtypmod,
								param->paramcollid, 0);
	return expression_tree_mutator(node, parameter_mutator, context);
}

/*
 * Makes "SELECT comparison FROM (subquery) q" of the subquery's link.
 */
static Query *
compare_inside(SubLink *link)
{
	Query *sub = (Query *) link->subselect;
	Query *query = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	Node *test = copyObject(link->testexpr);
	List *names = NIL;
	ListCell *lc;

	IncrementVarSublevelsUp((Node *) sub, 1, 1);
	IncrementVarSublevelsUp(test, 1, 0);
	foreach (lc, sub->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			names = lappend(names, makeString(psprintf("c%d", list_length(names) + 1)));
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = sub;
	rte->alias = makeAlias("q", names);
	rte->eref = copyObject(rte->alias);
	rte->inFromCl = true;
	ref->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make1(rte);
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	query->hasSubLinks = checkExprHasSubLink(test);
	query->targetList = list_make1(makeTargetEntry((Expr *) parameter_mutator(test, NULL),
												   1, pstrdup("found"), false));
	return query;
}

/*
 * Moves a comparison of a row with a subquery's rows into the subquery, if it names an
 * operator; that of one value has a place for that.
 */
static void
say_subquery_comparison(SubLink *link)
{
	Param *param;

	if (link->testexpr == NULL || IsA(link->testexpr, OpExpr) ||
		!named_walker(link->testexpr, NULL))
		return;
	/* which query an aggregate belongs to is not told by its text */
	if (contain_aggs_of_level(link->testexpr, 0) || contain_windowfuncs(link->testexpr))
		derive_gate_refuse(
			NULL, -1,
			"rows of aggregates or window functions compared with a subquery "
			"by operators outside pg_catalog",
			NULL, "Compute the rows in a subquery in FROM.");
	link->subselect = (Node *) compare_inside(link);
	link->testexpr = NULL;
	link->operName = NIL;
	if (link->subLinkType == ROWCOMPARE_SUBLINK)
	{
		link->subLinkType = EXPR_SUBLINK;
		return;
	}
	param = makeNode(Param);
	param->paramkind = PARAM_SUBLINK;
	param->paramid = 1;
	param->paramtype = BOOLOID;
	param->paramtypmod = -1;
	param->location = -1;
	link->testexpr = (Node *) compare(BooleanEqualOperator, makeBoolConst(true, false),
									  (Node *) param, InvalidOid);
	link->operName = list_make1(makeString(pstrdup("=")));
}

/*
 * True if a join in FROM is by USING with a named operator; a walker.
 */
static bool
using_walker(Node *node, void *context)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, JoinExpr) && ((JoinExpr *) node)->usingClause != NIL &&
		named_walker(((JoinExpr *) node)->quals, NULL))
		return true;
	return expression_tree_walker(node, using_walker, context);
}

/*
 * Gives expressions a form that names their operators, from the bottom up; a mutator.
 */
static Node *
say_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Query *query = query_tree_mutator((Query *) node, say_mutator, context,
										  QTW_IGNORE_JOINALIASES);

		if (using_walker((Node *) query->jointree, NULL))
			derive_surgery_join_on(query);
		return (Node *) query;
	}
	node = expression_tree_mutator(node, say_mutator, context);
	if (IsA(node, NullIfExpr) && is_named(((NullIfExpr *) node)->opno))
		return say_nullif((NullIfExpr *) node);
	if (IsA(node, DistinctExpr) && is_named(((DistinctExpr *) node)->opno))
		return say_distinct((DistinctExpr *) node);
	if (IsA(node, RowCompareExpr) && named_walker(node, NULL))
		return say_row_comparison((RowCompareExpr *) node);
	if (IsA(node, CaseExpr))
		say_case((CaseExpr *) node);
	if (IsA(node, SubLink))
		say_subquery_comparison((SubLink *) node);
	return node;
}

/*
 * Returns a query that names its operators, see operators.h.
 */
Query *
derive_operators_say(Query *query)
{
	return (Query *) say_mutator((Node *) query, NULL);
}
