/*-------------------------------------------------------------------------
 *
 * collations.c
 *	  Text that is read again with the collations of the query it was.
 *
 * Which collation a function works with follows from its arguments: COLLATE in one of
 * them decides, else a collation other than the default, else that.  An analysed query
 * knows the result, and not why.  The cut puts columns in the place of expressions and
 * expressions in the place of columns, and so takes COLLATE away from where it decided, or
 * brings it where it did not: read again, the text would be an error, or compare by another
 * collation.  So before a query becomes text, arguments are given COLLATE wherever core
 * would not find out the same (parse_collate.c has its rules).
 *
 * Not looked at: ordered-set aggregates, and USING, which has no place for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_collation.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "plan/collations.h"

/* How sure a collation is, in the order of precedence. */
typedef enum Strength
{
	STRENGTH_NONE,
	STRENGTH_IMPLICIT,
	STRENGTH_CONFLICT,
	STRENGTH_EXPLICIT
} Strength;

/* What core would derive from expressions. */
typedef struct Derived
{
	Strength strength;
	Oid collation;
	bool contradiction; /* two COLLATE that differ */
} Derived;

/*
 * Adds what is derived from one expression to what is derived from several.
 */
static void
merge(Derived *all, Derived one)
{
	all->contradiction |= one.contradiction;
	if (one.strength > all->strength)
	{
		all->strength = one.strength;
		all->collation = one.collation;
	}
	else if (one.strength < all->strength || one.collation == all->collation)
		return;
	else if (one.strength == STRENGTH_EXPLICIT)
		all->contradiction = true;
	else if (one.strength == STRENGTH_IMPLICIT && all->collation == DEFAULT_COLLATION_OID)
		all->collation = one.collation;
	else if (one.strength == STRENGTH_IMPLICIT && one.collation != DEFAULT_COLLATION_OID)
		all->strength = STRENGTH_CONFLICT;
}

static bool merge_walker(Node *node, Derived *all);

/*
 * Returns what core derives from the parts of an expression that count.
 */
static Derived
derived_from_parts(Node *node)
{
	Derived all = {STRENGTH_NONE, InvalidOid, false};
	ListCell *lc;

	if (IsA(node, CaseExpr))
	{
		foreach (lc, ((CaseExpr *) node)->args)
			merge_walker((Node *) lfirst_node(CaseWhen, lc)->result, &all);
		merge_walker((Node *) ((CaseExpr *) node)->defresult, &all);
	}
	else if (IsA(node, Aggref))
	{
		foreach (lc, ((Aggref *) node)->args)
			if (!lfirst_node(TargetEntry, lc)->resjunk)
				merge_walker((Node *) lfirst_node(TargetEntry, lc)->expr, &all);
	}
	else if (IsA(node, WindowFunc))
		merge_walker((Node *) ((WindowFunc *) node)->args, &all);
	else if (IsA(node, ArrayCoerceExpr))
		merge_walker((Node *) ((ArrayCoerceExpr *) node)->arg, &all);
	else if (!IsA(node, SubLink) && !IsA(node, FieldSelect))
		expression_tree_walker(node, merge_walker, &all);
	return all;
}

/*
 * Adds what core derives from an expression, or a list of them; a walker.
 */
static bool
merge_walker(Node *node, Derived *all)
{
	Derived one = {STRENGTH_EXPLICIT, InvalidOid, false};

	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, List))
		return expression_tree_walker(node, merge_walker, all);
	if (!OidIsValid(get_typcollation(exprType(node))))
		return false;
	one.collation = exprCollation(node);
	if (!IsA(node, CollateExpr))
	{
		one = derived_from_parts(node);
		if (one.strength == STRENGTH_NONE)
		{
			one.collation = exprCollation(node);
			one.strength = OidIsValid(one.collation) ? STRENGTH_IMPLICIT
													 : STRENGTH_CONFLICT;
		}
	}
	merge(all, one);
	return false;
}

/*
 * Returns an expression with COLLATE, if it can have that: core prints no placeholder of
 * the argument of CASE.
 */
static Node *
collate(Node *node, Oid collation)
{
	CollateExpr *result = makeNode(CollateExpr);
	NamedArgExpr *named = (NamedArgExpr *) node;

	if (!OidIsValid(get_typcollation(exprType(node))) ||
		IsA(strip_implicit_coercions(node), CaseTestExpr))
		return node;
	result->arg = IsA(named, NamedArgExpr) ? named->arg : (Expr *) node;
	result->collOid = collation;
	result->location = -1;
	if (!IsA(named, NamedArgExpr))
		return (Node *) result;
	named->arg = (Expr *) result;
	return node;
}

/*
 * Gives all expressions of a list COLLATE.
 */
static void
collate_all(List *expressions, Oid collation)
{
	ListCell *lc;

	foreach (lc, expressions)
	{
		TargetEntry *tle = lfirst(lc);

		if (!IsA(tle, TargetEntry))
			lfirst(lc) = collate(lfirst(lc), collation);
		else if (!tle->resjunk && tle->ressortgroupref == 0) /* else it is sorted by */
			tle->expr = (Expr *) collate((Node *) tle->expr, collation);
	}
}

/*
 * Returns the arguments of a call, or NIL.
 */
static List *
arguments(Node *node)
{
	switch (nodeTag(node))
	{
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			return ((OpExpr *) node)->args;
		case T_ScalarArrayOpExpr:
			return ((ScalarArrayOpExpr *) node)->args;
		case T_FuncExpr:
			return ((FuncExpr *) node)->args;
		case T_WindowFunc:
			return ((WindowFunc *) node)->args;
		case T_MinMaxExpr:
			return ((MinMaxExpr *) node)->args;
		case T_Aggref:
			return ((Aggref *) node)->aggkind == AGGKIND_NORMAL ? ((Aggref *) node)->args
																: NIL;
		default:
			return NIL;
	}
}

/*
 * Gives the sides of a comparison of rows COLLATE where they need it.
 */
static void
say_in_row_comparison(RowCompareExpr *comparison)
{
	ListCell *ll, *lr, *lc;

	forthree (ll, comparison->largs, lr, comparison->rargs, lc, comparison->inputcollids)
	{
		Derived derived = {STRENGTH_NONE, InvalidOid, false};

		merge_walker(lfirst(ll), &derived);
		merge_walker(lfirst(lr), &derived);
		if (!OidIsValid(lfirst_oid(lc)) ||
			(derived.collation == lfirst_oid(lc) && !derived.contradiction &&
			 derived.strength != STRENGTH_CONFLICT))
			continue;
		lfirst(ll) = collate(lfirst(ll), lfirst_oid(lc));
		lfirst(lr) = collate(lfirst(lr), lfirst_oid(lc));
	}
}

/*
 * Gives expressions COLLATE where they need it, from the bottom up; a mutator.
 */
static Node *
say_mutator(Node *node, void *context)
{
	Derived derived;
	Oid collation;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, say_mutator, context,
										   QTW_IGNORE_JOINALIASES);
	node = expression_tree_mutator(node, say_mutator, context);
	if (IsA(node, RowCompareExpr))
		say_in_row_comparison((RowCompareExpr *) node);
	collation = exprInputCollation(node);
	if (IsA(node, CaseExpr) || IsA(node, CoalesceExpr) || IsA(node, ArrayExpr))
		collation = exprCollation(node);
	if (!OidIsValid(collation))
		return node;
	derived = derived_from_parts(node);
	if (derived.strength == STRENGTH_NONE ||
		(derived.collation == collation && !derived.contradiction &&
		 derived.strength != STRENGTH_CONFLICT))
		return node;
	if (!OidIsValid(exprInputCollation(node)))
		return collate(node, collation);
	collate_all(arguments(node), collation);
	return node;
}

/*
 * Returns a query with COLLATE where it needs it, see collations.h.
 */
Query *
derive_collations_say(Query *query)
{
	return query_tree_mutator(copyObject(query), say_mutator, NULL,
							  QTW_IGNORE_JOINALIASES);
}
