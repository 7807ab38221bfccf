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
 * and S for all of them is one query without references to the outside, in which each
 * step keeps the rows of different x apart:
 *
 *	FROM ... WHERE ... x			FROM D, ... WHERE ... D.x
 *	GROUP BY g						GROUP BY g, D.x
 *	DISTINCT ON (d) ... ORDER BY s	DISTINCT ON (D.x, d) ... ORDER BY D.x, s
 *	OVER (PARTITION BY p ...)		OVER (PARTITION BY p, D.x ...)
 *	ORDER BY s OFFSET m LIMIT n		row_number() OVER (PARTITION BY D.x ORDER BY s)
 *									between m + 1 and m + n; rank() for WITH TIES
 *
 * It becomes a stage, and the query around it joins this stage where x is the same, with
 * NULL the same as NULL.  Aggregates without GROUP BY have a row even where nothing is
 * found: then the join is a left join, and where it found no row (present is NULL there)
 * the aggregates' values over nothing stand.
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
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "plan/cut_private.h"
#include "plan/first.h"
#include "plan/region.h"
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

/* True if an item of a join tree is there, with no outer join to make it NULL. */
static bool
is_preserved(Node *node, int rtindex)
{
	JoinExpr *join = (JoinExpr *) node;
	ListCell *lc;

	if (IsA(node, RangeTblRef))
		return ((RangeTblRef *) node)->rtindex == rtindex;
	if (IsA(node, JoinExpr))
		return ((join->jointype == JOIN_INNER || join->jointype == JOIN_LEFT) &&
				is_preserved(join->larg, rtindex)) ||
			   ((join->jointype == JOIN_INNER || join->jointype == JOIN_RIGHT) &&
				is_preserved(join->rarg, rtindex));
	foreach (lc, castNode(FromExpr, node)->fromlist)
		if (is_preserved(lfirst(lc), rtindex))
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
		!is_preserved((Node *) query->jointree, column->varno))
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

/* Makes a further column of a query, and returns what groups or sorts by it. */
static SortGroupClause *
add_column(Query *query, Node *column)
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
										 add_column(domain, lfirst(lc)));
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
										 add_column(domain, value));
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
				  is_preserved((Node *) query->jointree, varno);
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

/* ---------- LATERAL ---------- */

/* Keeps the rows of different values of a column apart in all steps but LIMIT. */
static void
divide_by(Query *sub, Var *column)
{
	SortGroupClause *clause = add_column(sub, (Node *) column);
	ListCell *lc;

	if (derive_cut_has_groups(sub))
		sub->groupClause = lappend(sub->groupClause, copyObject(clause));
	foreach (lc, sub->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, lc);

		window->partitionClause = lappend(window->partitionClause, copyObject(clause));
	}
	if (sub->hasDistinctOn)
	{
		sub->distinctClause = lcons(copyObject(clause), sub->distinctClause);
		sub->sortClause = lcons(clause, sub->sortClause);
	}
	else if (sub->distinctClause != NIL)
		sub->distinctClause = lappend(sub->distinctClause, clause);
}

/*
 * Returns a query without its LIMIT, in which the rows of each value of the nkeys columns
 * behind the first nvalues are numbered instead; NULL if the limits are not constants.
 */
static Query *
number_rows(Query *sub, int nvalues, int nkeys)
{
	StringInfoData sql;
	int64 skip;
	int64 count;
	char *order;
	char *function = sub->limitOption == LIMIT_OPTION_WITH_TIES ? "rank" : "row_number";
	ListCell *lc;

	if (!derive_first_counts(sub, &skip, &count) || sub->sortClause == NIL)
		return NULL;
	if (skip > 0 && sub->limitOption == LIMIT_OPTION_WITH_TIES)
		return NULL; /* rows are skipped by number, not by rank */
	foreach (lc, sub->targetList)
		lfirst_node(TargetEntry, lc)->resjunk = false;
	order = derive_cut_order_text(sub, "q.c");
	sub->limitOffset = sub->limitCount = NULL;
	sub->limitOption = LIMIT_OPTION_COUNT;
	if (!sub->hasDistinctOn)
		sub->sortClause = NIL;

	initStringInfo(&sql);
	for (int i = 1; i <= nvalues + nkeys; i++)
		appendStringInfo(&sql, "%s w.c%d", i > 1 ? "," : "SELECT", i);
	appendStringInfo(&sql, " FROM (SELECT q.*, pg_catalog.%s() OVER (", function);
	for (int i = nvalues + 1; i <= nvalues + nkeys; i++)
		appendStringInfo(&sql, "%s q.c%d", i > nvalues + 1 ? "," : "PARTITION BY", i);
	appendStringInfo(&sql,
					 " %s) AS place FROM %s) w WHERE w.place > " INT64_FORMAT
					 " AND w.place <= " INT64_FORMAT,
					 order, derive_cut_from_text(sub), skip, skip + count);
	return derive_surgery_parse(sql.data);
}

/* What is known of a LATERAL subquery. */
typedef struct Lateral
{
	int index;
	JoinExpr *join; /* whose right side it is, or NULL: an item of FROM */
	Query *sub;
	int nvalues;
	bool single;	/* has one row, or none by HAVING, whatever is found */
	List *defaults; /* its values where nothing is found, if single */
	Domain domain;
} Lateral;

/* True if all rows are one group. */
static bool
is_single(Query *sub)
{
	return (sub->hasAggs || sub->havingQual != NULL) && sub->groupClause == NIL;
}

/* True if no outer join around a join makes all of a row of its left side NULL. */
static bool
is_left_preserved(Query *query, JoinExpr *join)
{
	Bitmapset *items = derive_surgery_items(join->larg);
	int index = -1;

	while ((index = bms_next_member(items, index)) >= 0)
		if (is_preserved((Node *) query->jointree, index))
			return true;
	return false;
}

/* True if another item of FROM refers to an item. */
static bool
is_referred_to(Query *query, int index)
{
	ListCell *lc;

	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (bms_is_member(index,
						  pull_varnos_of_level(NULL, (Node *) rte->functions, 0)) ||
			bms_is_member(index,
						  pull_varnos_of_level(NULL, (Node *) rte->values_lists, 0)) ||
			(rte->subquery != NULL &&
			 bms_is_member(index, pull_varnos_of_level(NULL, (Node *) rte->subquery, 1))))
			return true;
	}
	return false;
}

/* Tells whether aggregates without groups can be followed, and notes their defaults. */
static bool
take_defaults(Query *query, Lateral *lateral)
{
	Query *sub = lateral->sub;
	JoinExpr *join = lateral->join;
	ListCell *lc;

	if (sub->havingQual != NULL || sub->hasTargetSRFs || sub->hasWindowFuncs ||
		sub->distinctClause != NIL || sub->limitOffset != NULL ||
		(sub->limitCount != NULL && !derive_cut_is_limit_one(sub)))
		return false;
	if (join == NULL ? is_referred_to(query, lateral->index)
					 : join->jointype != JOIN_LEFT || !IsA(join->quals, Const) ||
						   !DatumGetBool(((Const *) join->quals)->constvalue))
		return false;
	sub->sortClause = NIL;
	sub->limitCount = NULL;
	foreach (lc, sub->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Node *value = derive_cut_over_nothing((Node *) tle->expr);

		if (value == NULL)
			return false;
		/* "nothing is found for the row" must differ from "there is no row" */
		if (join != NULL && !is_left_preserved(query, join) &&
			!(IsA(value, Const) && ((Const *) value)->constisnull))
			return false;
		lateral->defaults = lappend(lateral->defaults, value);
	}
	return true;
}

/* Makes the stage of a subquery, with the domain's columns behind its own, or nothing. */
static Oid
make_stage(Cut *cut, Lateral *lateral)
{
	Query *sub = lateral->sub;
	ListCell *lc;

	if (!sub->hasDistinctOn && !derive_cut_has_limit(sub))
		sub->sortClause = NIL;
	foreach (lc, lateral->domain.columns)
		divide_by(sub, lfirst_node(Var, lc));
	if (derive_cut_has_limit(sub))
		sub = number_rows(sub, lateral->nvalues, list_length(lateral->domain.columns));
	return sub == NULL ? InvalidOid : derive_cut_stage(cut, sub);
}

/*
 * Returns the conditions that join a stage to the rows that it was computed for, levels
 * further out.
 */
static List *
join_conditions(Query *query, Lateral *lateral, int levels)
{
	List *conditions = NIL;
	ListCell *lc, *lo;

	forboth (lc, lateral->domain.columns, lo, lateral->domain.outer)
	{
		Var *var = lfirst_node(Var, lc);
		Var *column = makeVar(lateral->index,
							  lateral->nvalues + foreach_current_index(lc) + 1,
							  var->vartype, var->vartypmod, var->varcollid, 0);

		Node *outer = copyObject(lfirst(lo));

		IncrementVarSublevelsUp(outer, levels, 0);
		conditions = derive_cut_add_same(conditions, query, column, outer);
	}
	return conditions;
}

/* Puts defaults in place of a stage's values where it has no row. */
static void
put_defaults(Query *query, Lateral *lateral)
{
	RangeTblEntry *rte = rt_fetch(lateral->index, query->rtable);
	int witness = lateral->nvalues + list_length(lateral->domain.columns);
	List *targets = NIL;

	for (int attno = 1; attno <= witness; attno++)
	{
		Expr *value = derive_cut_column(query, lateral->index, attno);
		Const *otherwise = attno <= lateral->nvalues
							   ? list_nth(lateral->defaults, attno - 1)
							   : NULL;

		if (otherwise != NULL && !(IsA(otherwise, Const) && otherwise->constisnull))
			value = (Expr *) derive_cut_unless_null(
				derive_cut_column(query, lateral->index, witness), value,
				(Expr *) otherwise);
		targets = lappend(targets, makeTargetEntry(value, attno, NULL, false));
	}
	*query = *(Query *) derive_compat_replace_vars((Node *) query, lateral->index, rte,
												   targets, NULL);
}

/* Takes an item out of FROM. */
static void
take_out(Query *query, int index)
{
	ListCell *lc;

	foreach (lc, query->jointree->fromlist)
	{
		RangeTblRef *ref = lfirst(lc);

		if (IsA(ref, RangeTblRef) && ref->rtindex == index)
			query->jointree->fromlist = foreach_delete_current(query->jointree->fromlist,
															   lc);
	}
}

/* Replaces a LATERAL subquery by a stage, see cut_private.h. */
bool
derive_cut_lateral(Cut *cut, Query *query, int index, JoinExpr *join)
{
	Lateral lateral = {.index = index, .join = join};
	RangeTblEntry *rte = rt_fetch(index, query->rtable);
	List *conditions;
	Oid stage;

	if (join != NULL && join->jointype != JOIN_INNER && join->jointype != JOIN_LEFT)
		return false;
	lateral.sub = copyObject(rte->subquery);
	lateral.nvalues = list_length(rte->eref->colnames);
	lateral.single = is_single(lateral.sub);
	if (!derive_cut_is_storable(lateral.sub) ||
		(lateral.single && !take_defaults(query, &lateral)) ||
		!derive_cut_domain(cut, query, lateral.sub, join, &lateral.domain))
		return false;
	stage = make_stage(cut, &lateral);
	if (!OidIsValid(stage))
		return false;

	derive_surgery_set_relation(query, rte, stage);
	conditions = join_conditions(query, &lateral, 0);
	if (join != NULL)
		join->quals = make_and_qual(lateral.single ? NULL : join->quals,
									(Node *) make_ands_explicit(conditions));
	else if (!lateral.single)
		query->jointree->quals = make_and_qual(query->jointree->quals,
											   (Node *) make_ands_explicit(conditions));
	else
		take_out(query, index);
	if (lateral.single)
		put_defaults(query, &lateral);
	if (lateral.single && join == NULL)
		derive_surgery_left_join(query, index, conditions);
	return true;
}

/* Makes a subquery a selection from a stage, see cut_private.h. */
Query *
derive_cut_select_from_stage(Cut *cut, Query *query, Query *sub)
{
	Lateral lateral = {.index = 1, .sub = sub};
	Query *result;
	Oid stage;
	ListCell *lc;

	foreach (lc, sub->targetList)
		lateral.nvalues += !lfirst_node(TargetEntry, lc)->resjunk;
	if (is_single(sub) || !derive_cut_is_storable(sub) ||
		!derive_cut_domain(cut, query, sub, NULL, &lateral.domain))
		return NULL;
	stage = make_stage(cut, &lateral);
	if (!OidIsValid(stage))
		return NULL;
	result = derive_surgery_over(stage);
	result->targetList = list_truncate(result->targetList, lateral.nvalues);
	result->jointree->quals = (Node *) make_ands_explicit(
		join_conditions(query, &lateral, 1));
	return result;
}
