/*-------------------------------------------------------------------------
 *
 * cut_domain.c
 *	  Subqueries that depend in any way on the rows around them.
 *
 * What a subquery S(x) gives depends on the row around it only by the values x of some
 * columns.  All the values that occur are a table, the *domain*:
 *
 *	D = SELECT DISTINCT x, true AS present FROM the relation that has the columns
 *
 * where x has, of a column whose equal values may look different (1.0 and 1.00), its image,
 * too: S may show the difference.
 *
 * and S for all of them is one query without references to the outside:
 *
 *	FROM ... WHERE ... x			FROM D, ... WHERE ... D.x
 *
 * whose further steps must keep the rows of different x apart; cut_lateral.c and
 * cut_values.c see to that.
 *
 * If the columns are of several relations, or an outer join may make them NULL, the domain
 * is taken from what the query joins, with those of its conditions that have no subquery.
 * This is Neumann's and Kemper's "Unnesting Arbitrary Queries" (2015); a domain with more
 * values than the rows in question is harmless, and S is kept for all of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_func.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "plan/cut_private.h"
#include "plan/scale.h"
#include "plan/surgery.h"

/* ---------- which columns ---------- */

typedef struct CollectContext
{
	int depth;	/* of queries below the subquery */
	List *vars; /* as seen from the query around it, each once */
	bool failed;
} CollectContext;

/* Collects the columns of the query around a subquery that are mentioned; a walker. */
static bool
collect_walker(Node *node, CollectContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup > context->depth)
	{
		Var *var = copyObject((Var *) node);

		if (var->varlevelsup > context->depth + 1 || var->varattno <= 0)
			context->failed = true;
		var->varlevelsup = 0;
		var->location = -1;
		context->vars = list_append_unique(context->vars, var);
		return false;
	}
	if ((IsA(node, Aggref) && ((Aggref *) node)->agglevelsup > context->depth) ||
		(IsA(node, GroupingFunc) &&
		 ((GroupingFunc *) node)->agglevelsup > context->depth) ||
		(IsA(node, RangeTblEntry) && ((RangeTblEntry *) node)->rtekind == RTE_CTE &&
		 ((RangeTblEntry *) node)->ctelevelsup > context->depth))
		context->failed = true;
	if (IsA(node, RangeTblEntry))
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, collect_walker, context);
	context->depth++;
	query_tree_walker((Query *) node, collect_walker, context,
					  QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	context->depth--;
	return false;
}

/* Tells whether an item of a join tree is preserved, see cut_private.h. */
bool
derive_cut_is_preserved(Node *node, int rtindex)
{
	JoinExpr *join = (JoinExpr *) node;
	ListCell *lc;

	if (IsA(node, RangeTblRef))
		return ((RangeTblRef *) node)->rtindex == rtindex;
	if (IsA(node, JoinExpr))
		return ((join->jointype == JOIN_INNER || join->jointype == JOIN_LEFT) &&
				derive_cut_is_preserved(join->larg, rtindex)) ||
			   ((join->jointype == JOIN_INNER || join->jointype == JOIN_RIGHT) &&
				derive_cut_is_preserved(join->rarg, rtindex));
	foreach (lc, castNode(FromExpr, node)->fromlist)
		if (derive_cut_is_preserved(lfirst(lc), rtindex))
			return true;
	return false;
}

/* True if a column can divide rows. */
static bool
can_divide(Var *var)
{
	TypeCacheEntry *type = lookup_type_cache(var->vartype,
											 TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

	return OidIsValid(type->eq_opr) && OidIsValid(type->lt_opr) &&
		   (!OidIsValid(var->varcollid) || get_collation_isdeterministic(var->varcollid));
}

/*
 * Returns the columns that a subquery mentions of the query around it, if there can be
 * a domain of them, or NIL.
 */
static List *
domain_columns(Query *sub)
{
	CollectContext context = {0};
	ListCell *lc;

	query_tree_walker(sub, collect_walker, &context,
					  QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	if (context.failed)
		return NIL;
	foreach (lc, context.vars)
		if (!can_divide(lfirst_node(Var, lc)))
			return NIL;
	return context.vars;
}

/* Makes "derive_state.row_image(ROW(column))". */
static Node *
make_image(Var *column)
{
	Oid argument = RECORDOID;
	Oid function = LookupFuncName(
		list_make2(makeString("derive_state"), makeString("row_image")), 1, &argument,
		false);
	RowExpr *row = makeNode(RowExpr);

	row->args = list_make1(copyObject(column));
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_EXPLICIT_CALL;
	row->colnames = list_make1(makeString("f1"));
	row->location = -1;
	return (Node *) makeFuncExpr(function, BYTEAOID, list_make1(row), InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CALL);
}

/*
 * Returns what a domain of columns holds of each row: the columns, the images of those
 * whose equal values may look different, and true.
 */
static List *
domain_values(List *vars)
{
	List *values = list_copy(vars);
	ListCell *lc;

	foreach (lc, vars)
	{
		Var *var = lfirst_node(Var, lc);
		TypeCacheEntry *type = lookup_type_cache(var->vartype, TYPECACHE_BTREE_OPFAMILY);

		if (derive_image_may_vary((Node *) var, type, var->varcollid))
			values = lappend(values, make_image(var));
	}
	return lappend(values, makeBoolConst(true, false));
}

/* True if a column cannot be NULL, see cut_private.h. */
bool
derive_cut_is_not_null(Query *query, Var *column)
{
	RangeTblEntry *rte = rt_fetch(column->varno, query->rtable);
	HeapTuple tuple;
	bool result;

	if (rte->rtekind != RTE_RELATION ||
		!derive_cut_is_preserved((Node *) query->jointree, column->varno))
		return false;
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(rte->relid),
							Int16GetDatum(column->varattno));
	result = HeapTupleIsValid(tuple) &&
			 ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result && derive_compat_not_null_is_valid(rte->relid, column->varattno);
}

/* ---------- the domain ---------- */

/* Makes a further column of a query, see cut_private.h. */
SortGroupClause *
derive_cut_add_column(Query *query, Node *column)
{
	TargetEntry *tle = makeTargetEntry((Expr *) copyObject(column), 0, pstrdup("x"),
									   false);
	SortGroupClause *clause = makeNode(SortGroupClause);
	int position = 0;
	ListCell *lc;

	/* columns that are only sorted by stay behind */
	foreach (lc, query->targetList)
		position += !lfirst_node(TargetEntry, lc)->resjunk;
	query->targetList = list_insert_nth(query->targetList, position, tle);
	foreach (lc, query->targetList)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
	clause->tleSortGroupRef = assignSortGroupRef(tle, query->targetList);
	get_sort_group_operators(exprType(column), true, true, false, &clause->sortop,
							 &clause->eqop, NULL, &clause->hashable);
	return clause;
}

/* Adds the range table indexes of a join tree, joins included, to a set; a walker. */
static bool
tree_walker(Node *node, Bitmapset **members)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		*members = bms_add_member(*members, ((RangeTblRef *) node)->rtindex);
	if (IsA(node, JoinExpr))
		*members = bms_add_member(*members, ((JoinExpr *) node)->rtindex);
	return expression_tree_walker(node, tree_walker, members);
}

/* Returns what a query joins, without conditions that have subqueries. */
static FromExpr *
joined_by(Query *query)
{
	FromExpr *from = makeFromExpr(NIL, NULL);
	Bitmapset *items;
	ListCell *lc;

	foreach (lc, query->jointree->fromlist)
	{
		RangeTblRef *ref = lfirst(lc);

		if (!IsA(ref, RangeTblRef) ||
			rt_fetch(ref->rtindex, query->rtable)->rtekind != RTE_SUBQUERY)
			from->fromlist = lappend(from->fromlist, copyObject(ref));
	}
	items = derive_surgery_items((Node *) from);
	foreach (lc, make_ands_implicit((Expr *) query->jointree->quals))
		if (!checkExprHasSubLink(lfirst(lc)) &&
			bms_is_subset(pull_varnos(NULL, lfirst(lc)), items))
			from->quals = make_and_qual(from->quals, copyObject(lfirst(lc)));
	return from;
}

/*
 * Returns the query of a domain over what a query joins, or over the left side of one of
 * its joins; NULL if that is more than a plain join.
 */
static Query *
joined_domain(Query *query, List *vars, List *values, JoinExpr *join)
{
	Query *domain = makeNode(Query);
	Bitmapset *members = NULL;
	ListCell *lc;

	domain->commandType = CMD_SELECT;
	domain->canSetTag = true;
	derive_compat_copy_range_table(domain, query);
	domain->jointree = join == NULL
						   ? joined_by(query)
						   : makeFromExpr(list_make1(copyObject(join->larg)), NULL);
	tree_walker((Node *) domain->jointree, &members);
	foreach (lc, domain->rtable)
		if (!bms_is_member(foreach_current_index(lc) + 1, members))
			derive_surgery_blank(lfirst_node(RangeTblEntry, lc));
	foreach (lc, domain->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (!bms_is_subset(pull_varnos(NULL, (Node *) rte->functions), members) ||
			!bms_is_subset(pull_varnos(NULL, (Node *) rte->values_lists), members))
			return NULL;
	}
	foreach (lc, vars)
		if (!bms_is_member(lfirst_node(Var, lc)->varno, members))
			return NULL;
	foreach (lc, values)
		domain->distinctClause = lappend(domain->distinctClause,
										 derive_cut_add_column(domain, lfirst(lc)));
	if (derive_surgery_refers_outside((Node *) domain, 0))
		return NULL;
	return domain;
}

/*
 * Returns the query of a domain whose values are all of one relation, at varno in the
 * query around.
 */
static Query *
simple_domain(RangeTblEntry *rte, int varno, List *values)
{
	Query *domain = derive_surgery_over(rte->relid);
	ListCell *lc;

	linitial_node(RangeTblEntry, domain->rtable)->inh = rte->inh;
	domain->targetList = NIL;
	foreach (lc, values)
	{
		Node *value = copyObject(lfirst(lc));

		ChangeVarNodes(value, varno, 1, 0);
		domain->distinctClause = lappend(domain->distinctClause,
										 derive_cut_add_column(domain, value));
	}
	return domain;
}

/* Returns the query of the domain of values that are made of vars, or NULL. */
static Query *
make_domain(Query *query, List *vars, List *values, JoinExpr *join)
{
	int varno = linitial_node(Var, vars)->varno;
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	bool simple = rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW &&
				  rte->tablesample == NULL &&
				  derive_cut_is_preserved((Node *) query->jointree, varno);
	ListCell *lc;

	foreach (lc, vars)
	{
		if (lfirst_node(Var, lc)->varno != varno)
			simple = false;
		if (join != NULL &&
			!bms_is_member(lfirst_node(Var, lc)->varno, derive_surgery_items(join->larg)))
			return NULL; /* the join would not see it */
	}
	return simple ? simple_domain(rte, varno, values)
				  : joined_domain(query, vars, values, join);
}

/* ---------- the domain in the subquery ---------- */

typedef struct ReplaceContext
{
	List *vars; /* as seen from the query around the subquery */
	int index;	/* of the domain in the subquery's range table */
	int depth;
} ReplaceContext;

/* Puts columns of the domain in place of those of the query around; a mutator. */
static Node *
replace_mutator(Node *node, ReplaceContext *context)
{
	Node *result;
	ListCell *lc;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == context->depth + 1)
	{
		Var *var = copyObject((Var *) node);

		var->varlevelsup = 0;
		var->location = -1;
		foreach (lc, context->vars)
			if (equal(var, lfirst(lc)))
				return (Node *) makeVar(context->index, foreach_current_index(lc) + 1,
										var->vartype, var->vartypmod, var->varcollid,
										context->depth);
		elog(ERROR, "a column of the domain is missing");
	}
	if (!IsA(node, Query))
		return expression_tree_mutator(node, replace_mutator, context);
	context->depth++;
	result = (Node *) query_tree_mutator((Query *) node, replace_mutator, context,
										 QTW_IGNORE_JOINALIASES);
	context->depth--;
	return result;
}

/* True if one of the items of a join tree refers to a query around it. */
static bool
items_refer_outside(Query *query, Node *node)
{
	Bitmapset *items = derive_surgery_items(node);
	int index = -1;

	while ((index = bms_next_member(items, index)) >= 0)
	{
		RangeTblEntry *rte = rt_fetch(index, query->rtable);

		if (derive_surgery_refers_outside((Node *) rte->functions, 1) ||
			derive_surgery_refers_outside((Node *) rte->values_lists, 1) ||
			(rte->subquery != NULL &&
			 derive_surgery_refers_outside((Node *) rte->subquery, 1)))
			return true;
	}
	return false;
}

/*
 * Finds where the domain must be joined for the conditions of joins to see it: the
 * first item of a join tree that outer joins keep, below the joins, outermost first.  False
 * if there is no such place; NULL for "anywhere" if no condition needs it.
 */
static bool
find_place(Query *sub, Node ***place, List **joins)
{
	ListCell *lc;

	*place = NULL;
	*joins = NIL;
	foreach (lc, sub->jointree->fromlist)
	{
		Node **node = (Node **) &lfirst(lc);

		if (!IsA(*node, JoinExpr) || !derive_surgery_refers_outside(*node, 1))
			continue;
		if (*place != NULL || items_refer_outside(sub, (Node *) sub->jointree))
			return false;
		while (IsA(*node, JoinExpr))
		{
			JoinExpr *join = (JoinExpr *) *node;
			bool right = join->jointype == JOIN_RIGHT;

			if (join->jointype == JOIN_FULL || join->usingClause != NIL ||
				derive_surgery_refers_outside(right ? join->larg : join->rarg, 1))
				return false;
			*joins = lappend(*joins, join);
			node = right ? &join->rarg : &join->larg;
		}
		*place = node;
	}
	return true;
}

/* Lets the items of FROM that refer to a domain do so. */
static void
mark_lateral(Query *sub)
{
	ListCell *lc;

	foreach (lc, sub->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		rte->lateral |= derive_surgery_refers_outside((Node *) rte->functions, 1) ||
						derive_surgery_refers_outside((Node *) rte->values_lists, 1) ||
						(rte->subquery != NULL &&
						 derive_surgery_refers_outside((Node *) rte->subquery, 0));
	}
}

/*
 * Frees a subquery of its references to the query around it, see cut_private.h.
 */
bool
derive_cut_domain(Cut *cut, Query *query, Query *sub, JoinExpr *join, Domain *domain)
{
	List *vars;
	Query *values;
	RangeTblRef *ref;
	Node **place;
	List *joins;
	ReplaceContext context = {0};
	ListCell *lc;

	if (sub->setOperations != NULL || sub->cteList != NIL || sub->groupingSets != NIL)
		return false;
	derive_surgery_flatten(sub);
	vars = domain_columns(sub);
	if (vars == NIL || !find_place(sub, &place, &joins))
		return false;
	domain->outer = domain_values(vars);
	values = make_domain(query, vars, domain->outer, join);
	if (values == NULL)
		return false;

	mark_lateral(sub);
	ref = makeNode(RangeTblRef);
	ref->rtindex = derive_surgery_add_relation(sub, derive_cut_stage(cut, values), NULL);
	if (place != NULL)
		derive_surgery_join_below(sub, (Node *) ref, place, joins);
	else
		sub->jointree->fromlist = lcons(ref, sub->jointree->fromlist);
	context.vars = vars;
	context.index = ref->rtindex;
	*sub = *query_tree_mutator(sub, replace_mutator, &context, QTW_IGNORE_JOINALIASES);

	domain->columns = NIL;
	foreach (lc, domain->outer)
		domain->columns = lappend(domain->columns,
								  makeVar(ref->rtindex, foreach_current_index(lc) + 1,
										  exprType(lfirst(lc)), exprTypmod(lfirst(lc)),
										  exprCollation(lfirst(lc)), 0));
	return true;
}

/* Makes "left = right" by the default equality of their type. */
static Node *
make_equality(Node *left, Node *right)
{
	Oid type = exprType(left);
	OpExpr *op;

	op = (OpExpr *) make_opclause(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr,
								  BOOLOID, false, (Expr *) copyObject(left),
								  (Expr *) copyObject(right), InvalidOid,
								  exprCollation(left));
	set_opfuncid(op);
	return (Node *) op;
}

/* Makes "expression IS NULL". */
static Node *
make_is_null(Node *expression)
{
	NullTest *test = makeNode(NullTest);

	test->arg = (Expr *) copyObject(expression);
	test->nulltesttype = IS_NULL;
	test->location = -1;
	return (Node *) test;
}

/* Makes "ARRAY[expression]", or returns NULL. */
static Node *
make_array_of(Node *expression)
{
	ArrayExpr *array = makeNode(ArrayExpr);

	array->element_typeid = exprType(expression);
	array->array_typeid = get_array_type(array->element_typeid);
	array->array_collid = exprCollation(expression);
	array->elements = list_make1(copyObject(expression));
	array->location = -1;
	return OidIsValid(array->array_typeid) ? (Node *) array : NULL;
}

/*
 * Adds the conditions that a column is what a domain's column is, see cut_private.h.  Where
 * there may be NULLs there are two that say the same: one by which core can look up, and
 * one by which it can hash, as arrays with NULLs are equal.
 */
List *
derive_cut_add_same(List *conditions, Query *query, Var *column, Node *outer)
{
	Node *inner = (Node *) column;
	Node *array;

	if (IsA(outer, Const))
		return conditions; /* true of all rows */
	if (!IsA(outer, Var) || derive_cut_is_not_null(query, (Var *) outer))
		return lappend(conditions,
					   make_equality(inner, outer)); /* an image is never NULL */
	array = make_array_of(inner);
	if (array != NULL)
		conditions = lappend(conditions, make_equality(array, make_array_of(outer)));
	return lappend(
		conditions,
		make_orclause(list_make2(
			make_equality(inner, outer),
			make_andclause(list_make2(make_is_null(inner), make_is_null(outer))))));
}
