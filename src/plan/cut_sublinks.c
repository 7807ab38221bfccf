/*-------------------------------------------------------------------------
 *
 * cut_sublinks.c
 *	  Subqueries in expressions: into conditions of existence, or into joins.
 *
 * A condition that is ANDed to the others of WHERE becomes a condition of existence, for
 * which there is algebra:
 *
 *	x op ANY (S)		EXISTS (S with x op y)			IN is = ANY
 *	NOT (x op ANY (S))	NOT EXISTS (S with (x op y) IS NOT FALSE)
 *	x op ALL (S)		NOT EXISTS (S with (x op y) IS NOT TRUE)
 *	NOT (x op ALL (S))	EXISTS (S with (x op y) IS FALSE)
 *
 * because WHERE keeps a row only if the condition is true.  "IS NOT FALSE" is left out
 * where neither side can be NULL, so that an index serves.
 *
 * Anywhere else the subquery's value is wanted, see cut_values.c.  NOT IN goes this way,
 * too, if it can: the stages change only when the facts do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/compat.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

#include "plan/cut_private.h"
#include "plan/surgery.h"

/* ---------- conditions of existence ---------- */

/*
 * Puts the subquery's columns in place of the parameters that stand for them; a mutator.
 */
static Node *
parameter_mutator(Node *node, Query *sub)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK)
	{
		int number = ((Param *) node)->paramid;
		ListCell *lc;

		foreach (lc, sub->targetList)
			if (!lfirst_node(TargetEntry, lc)->resjunk && --number == 0)
				return copyObject((Node *) lfirst_node(TargetEntry, lc)->expr);
		elog(ERROR, "a subquery has too few columns");
	}
	return expression_tree_mutator(node, parameter_mutator, sub);
}

/*
 * Returns the comparison of ANY or ALL as a condition inside the subquery.
 */
Node *
derive_cut_comparison_inside(SubLink *link)
{
	Node *test = copyObject(link->testexpr);

	IncrementVarSublevelsUp(test, 1, 0);
	return parameter_mutator(test, (Query *) link->subselect);
}

/*
 * True if an expression of a query cannot be NULL: a constant, or a column of a table
 * that says so, which no outer join can make NULL.
 */
static bool
is_never_null(Query *query, Node *node, Index level)
{
	Var *var = (Var *) node;

	if (IsA(node, Const))
		return !((Const *) node)->constisnull;
	if (IsA(node, RelabelType))
		return is_never_null(query, (Node *) ((RelabelType *) node)->arg, level);
	if (!IsA(node, Var) || var->varlevelsup != level || var->varattno <= 0)
		return false;
	return derive_cut_is_not_null(query, var);
}

/*
 * True if a comparison of core's operators cannot be NULL, since its sides cannot.
 */
static bool
is_certain(Query *query, Query *sub, Node *comparison)
{
	OpExpr *op = (OpExpr *) comparison;
	ListCell *lc;

	if (!IsA(op, OpExpr) || !OidIsValid(get_commutator(op->opno)) ||
		derive_compat_op_interpretation(op->opno) == NIL)
		return false;
	foreach (lc, op->args)
		if (!is_never_null(sub, lfirst(lc), 0) && !is_never_null(query, lfirst(lc), 1))
			return false;
	return true;
}

/*
 * Makes "condition IS ...".
 */
static Node *
make_test(Node *condition, BoolTestType type)
{
	BooleanTest *test = makeNode(BooleanTest);

	test->arg = (Expr *) condition;
	test->booltesttype = type;
	test->location = -1;
	return (Node *) test;
}

/*
 * Lets a table have the columns of a subquery of which only matters whether it has rows:
 * there may be none, or some of types that no column can have.
 */
static void
make_storable(Query *sub)
{
	List *columns = NIL;
	ListCell *lc;

	if (derive_cut_is_storable(sub) || sub->setOperations != NULL ||
		sub->distinctClause != NIL || sub->hasTargetSRFs)
		return;
	columns = list_make1(
		makeTargetEntry((Expr *) makeBoolConst(true, false), 1, pstrdup("found"), false));
	foreach (lc, sub->targetList)
	{
		TargetEntry *column = lfirst_node(TargetEntry, lc);

		column->resjunk = true;
		column->resno = list_length(columns) + 1;
		if (column->ressortgroupref != 0)
			columns = lappend(columns, column);
	}
	/* if that was what made one group, this does */
	if (sub->hasAggs && sub->groupClause == NIL && sub->havingQual == NULL)
		sub->havingQual = makeBoolConst(true, false);
	sub->targetList = columns;
}

/*
 * Makes a plain block of a subquery of which only matters which rows there are; false if
 * it cannot be made one.
 */
static bool
make_plain(LinkContext *context, SubLink *link)
{
	Cut *cut = context->cut;
	Query *sub = (Query *) link->subselect;
	Query *whole;

	if (sub->limitCount == NULL && sub->limitOffset == NULL)
	{
		sub->sortClause = NIL;
		sub->distinctClause = sub->hasDistinctOn ? sub->distinctClause : NIL;
		if (!sub->hasAggs && sub->groupingSets == NIL && sub->havingQual == NULL)
			sub->groupClause = NIL;
	}
	if (link->subLinkType == EXISTS_SUBLINK)
		make_storable(sub);
	whole = copyObject(sub);
	derive_cut_open(cut, sub);
	if (derive_cut_is_plain(sub) && !sub->hasTargetSRFs)
		return true;
	if (!derive_cut_is_storable(sub))
		return false;
	if (derive_surgery_refers_outside((Node *) sub, 0))
	{
		sub = derive_cut_select_from_stage(cut, context->query, whole);
		if (sub != NULL)
			link->subselect = (Node *) sub;
		return sub != NULL;
	}
	link->subselect = (Node *) derive_surgery_over(derive_cut_stage(cut, sub));
	return true;
}

/*
 * Makes a condition of existence of a condition with a subquery, or returns NULL.
 */
static Node *
existence(LinkContext *context, SubLink *link, bool negated)
{
	Query *sub;
	Node *comparison;
	bool all = link->subLinkType == ALL_SUBLINK;

	if (link->subLinkType != EXISTS_SUBLINK && link->subLinkType != ANY_SUBLINK && !all)
		return NULL;
	if (link->testexpr != NULL && checkExprHasSubLink(link->testexpr))
		return NULL;
	if (derive_surgery_refers_outside(link->subselect, 1) || !make_plain(context, link))
		return NULL;
	sub = (Query *) link->subselect;
	if (link->subLinkType != EXISTS_SUBLINK)
	{
		comparison = derive_cut_comparison_inside(link);
		if (all)
			comparison = make_test(comparison, negated ? IS_FALSE : IS_NOT_TRUE);
		else if (negated && !is_certain(context->query, sub, comparison))
			comparison = make_test(comparison, IS_NOT_FALSE);
		sub->jointree->quals = make_and_qual(sub->jointree->quals, comparison);
		link->subLinkType = EXISTS_SUBLINK;
		link->testexpr = NULL;
		link->operName = NIL;
	}
	/* which columns do not matter; core prints "VALUES" without WHERE if they were its own */
	sub->targetList = list_make1(
		makeTargetEntry((Expr *) makeBoolConst(true, false), 1, pstrdup("found"), false));
	if (negated != all)
		return (Node *) make_notclause((Expr *) link);
	return (Node *) link;
}

/*
 * Replaces subqueries by their values; a mutator.  What cannot be replaced stays.
 */
static Node *
value_mutator(Node *node, LinkContext *context)
{
	Node *value;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return node;
	if (IsA(node, SubLink))
	{
		value = derive_cut_value_of(context, (SubLink *) node);
		return value != NULL ? value : node;
	}
	return expression_tree_mutator(node, value_mutator, context);
}

/*
 * True if a query has exactly one row, whatever it reads.
 */
static bool
has_one_row(Query *sub)
{
	return sub->hasAggs && sub->groupClause == NIL && sub->groupingSets == NIL &&
		   sub->havingQual == NULL && !sub->hasTargetSRFs && !derive_cut_has_limit(sub);
}

/*
 * Makes of ANY and ALL over one row a comparison with its value, and "true" of EXISTS; a
 * mutator.
 */
static Node *
one_row_mutator(Node *node, void *context)
{
	SubLink *link = (SubLink *) node;

	if (node == NULL || IsA(node, Query))
		return node;
	if (!IsA(node, SubLink) || !has_one_row((Query *) link->subselect))
		return expression_tree_mutator(node, one_row_mutator, context);
	if (link->subLinkType == EXISTS_SUBLINK)
		return makeBoolConst(true, false);
	if ((link->subLinkType == ANY_SUBLINK || link->subLinkType == ALL_SUBLINK) &&
		IsA(link->testexpr, OpExpr))
	{
		SubLink *value = makeNode(SubLink);
		Query *holder = makeNode(Query);

		value->subLinkType = EXPR_SUBLINK;
		value->subselect = link->subselect;
		value->location = -1;
		holder->targetList = list_make1(makeTargetEntry((Expr *) value, 1, NULL, false));
		return parameter_mutator(link->testexpr, holder);
	}
	return expression_tree_mutator(node, one_row_mutator, context);
}

typedef struct RepeatContext
{
	Node *expression;
	Node *replacement;
} RepeatContext;

/*
 * Puts another expression in the place of one, wherever it is repeated; a mutator.
 */
static Node *
repeat_mutator(Node *node, RepeatContext *context)
{
	if (node == NULL)
		return NULL;
	if (equal(node, context->expression))
		return copyObject(context->replacement);
	return expression_tree_mutator(node, repeat_mutator, context);
}

/*
 * Takes the subqueries out of group expressions.  Where one of these is repeated, in other
 * columns and in HAVING, it must stay the same.
 */
static void
take_from_groups(LinkContext *context)
{
	Query *query = context->query;
	ListCell *lc;

	foreach (lc, query->groupClause)
	{
		TargetEntry *tle = get_sortgroupclause_tle(lfirst(lc), query->targetList);
		RepeatContext repeat = {(Node *) tle->expr};

		if (!checkExprHasSubLink((Node *) tle->expr))
			continue;
		repeat.replacement = value_mutator((Node *) tle->expr, context);
		query->targetList = (List *) repeat_mutator((Node *) query->targetList, &repeat);
		query->havingQual = repeat_mutator(query->havingQual, &repeat);
	}
}

/*
 * Takes the subqueries out of the expressions of one level of a query, as far as it
 * can.
 */
void
derive_cut_sublinks(Cut *cut, Query *query)
{
	LinkContext context = {cut, query};
	List *conditions = NIL;
	Node *tree;
	ListCell *lc;

	if (!query->hasSubLinks || query->setOperations != NULL)
		return;
	query->targetList = (List *) one_row_mutator((Node *) query->targetList, NULL);
	query->jointree->quals = one_row_mutator(query->jointree->quals, NULL);
	query->havingQual = one_row_mutator(query->havingQual, NULL);
	foreach (lc, make_ands_implicit(
					 (Expr *) canonicalize_qual((Expr *) query->jointree->quals, false)))
	{
		Node *condition = lfirst(lc);
		bool negated = is_notclause(condition);
		SubLink *link = (SubLink *) (negated
										 ? (Node *) get_notclausearg((Expr *) condition)
										 : condition);
		Node *made = NULL;

		if (IsA(link, SubLink))
		{
			if (negated && link->subLinkType == ANY_SUBLINK)
				made = derive_cut_value_of(&context, link);
			made = made != NULL ? (Node *) make_notclause((Expr *) made)
								: existence(&context, link, negated);
		}
		if (made == NULL && checkExprHasSubLink(condition))
			made = value_mutator(condition, &context);
		conditions = lappend(conditions, made != NULL ? made : condition);
	}
	query->jointree->quals = conditions == NIL ? NULL
											   : (Node *) make_ands_explicit(conditions);
	take_from_groups(&context);
	query->targetList = (List *) value_mutator((Node *) query->targetList, &context);
	tree = (Node *) list_make3(query->targetList, query->jointree, query->havingQual);
	query->hasSubLinks = checkExprHasSubLink(tree);
}
