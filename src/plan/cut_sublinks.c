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
 * Anywhere else the subquery's value is wanted.  If it depends on the row around it only
 * by equalities "expression of the row = expression k inside", its values for all k are
 * one table, which becomes a stage and is joined to FROM on the equalities, with NULLs
 * where it has no row:
 *
 *	(SELECT aggregates ...)		SELECT k, aggregates ... GROUP BY k; where there is no
 *								row, the aggregates' values over nothing
 *	(SELECT v ... primary key k)		the table itself
 *	(SELECT v ... ORDER BY s LIMIT 1)	SELECT k, (array_agg(v ORDER BY s))[1] ... GROUP BY k;
 *								without any k the subquery itself
 *	ARRAY(SELECT v ... ORDER BY s)		likewise; an empty array where there is no row
 *	EXISTS (...)				SELECT k ... GROUP BY k; is there a row?
 *	x IN (SELECT y ...)			SELECT k, y ... GROUP BY k, y for "is it there?", and
 *								SELECT k, "has y NULLs?" ... GROUP BY k
 *
 * Without any equality each of them has one row, or none.  NOT IN goes this way, too, if
 * it can: the stages change only when the facts do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "base/compat.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "parser/parse_oper.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "plan/cut_private.h"
#include "plan/region.h"
#include "plan/sources.h"
#include "plan/surgery.h"

/* A subquery taken apart: what connects it with the row around it, and the rest. */
typedef struct Correlation
{
	Query *sub;	   /* without the connecting conditions */
	List *inner;   /* expressions k of the subquery */
	List *outer;   /* what each is equal to, as seen from the query around it */
	List *clauses; /* the equalities themselves, as seen from inside; NIL: with NULLs */
	int witness;   /* which k is never NULL where outer is equal to it */
} Correlation;

typedef struct LinkContext
{
	Cut *cut;
	Query *query;
} LinkContext;

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
static Node *
comparison_inside(SubLink *link)
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
	whole = copyObject(sub);
	derive_cut_open(cut, sub);
	if (derive_cut_is_plain(sub) && !sub->hasTargetSRFs)
		return true;
	if (derive_surgery_refers_outside((Node *) sub, 0))
	{
		sub = derive_cut_select_from_stage(cut, context->query, whole);
		if (sub != NULL)
			link->subselect = (Node *) sub;
		return sub != NULL;
	}
	if (link->subLinkType == EXISTS_SUBLINK)
	{
		/* the columns do not matter, but may be none or of types that cannot be stored */
		sub = derive_cut_query(cut, sub);
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
		comparison = comparison_inside(link);
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

/* ---------- taking a subquery apart ---------- */

/*
 * True if an operator over an expression of the subquery is the equality by which
 * groups are made.
 */
static bool
is_group_equality(OpExpr *op, Node *inner)
{
	TypeCacheEntry *type = lookup_type_cache(exprType(inner),
											 TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	Oid collation = exprCollation(inner);

	if (!OidIsValid(type->btree_opf) || !OidIsValid(get_commutator(op->opno)) ||
		get_op_opfamily_strategy(op->opno, type->btree_opf) != BTEqualStrategyNumber)
		return false;
	return op->inputcollid == collation || !OidIsValid(op->inputcollid) ||
		   (OidIsValid(collation) && get_collation_isdeterministic(collation) &&
			get_collation_isdeterministic(op->inputcollid));
}

/*
 * Takes a condition as a connection, if it is one.
 */
static bool
take_connection(Correlation *correlation, Node *condition)
{
	OpExpr *op = (OpExpr *) condition;

	if (!IsA(op, OpExpr) || list_length(op->args) != 2)
		return false;
	for (int i = 0; i < 2; i++)
	{
		Node *inner = list_nth(op->args, i);
		Node *outer = copyObject(list_nth(op->args, 1 - i));

		if (derive_surgery_refers_outside(inner, 1) || !contain_vars_of_level(inner, 0) ||
			contain_vars_of_level(outer, 0) || derive_surgery_refers_outside(outer, 2) ||
			checkExprHasSubLink(outer) || checkExprHasSubLink(inner) ||
			!is_group_equality(op, inner))
			continue;
		IncrementVarSublevelsUp(outer, -1, 1);
		correlation->inner = lappend(correlation->inner, copyObject(inner));
		correlation->outer = lappend(correlation->outer, outer);
		correlation->clauses = lappend(correlation->clauses, copyObject(op));
		return true;
	}
	return false;
}

/*
 * Takes a subquery apart; what more than equalities connect is given a domain.  False if
 * it cannot be freed of the query around it.
 */
static bool
take_apart(LinkContext *context, Query *sub, Correlation *correlation)
{
	Query *whole = copyObject(sub);
	List *rest = NIL;
	Domain domain;
	ListCell *lc;

	memset(correlation, 0, sizeof(Correlation));
	correlation->sub = sub;
	correlation->witness = 1;
	if (derive_surgery_refers_outside((Node *) sub, 1))
		return false;
	if (!derive_surgery_refers_outside((Node *) sub, 0))
		return true;
	if (sub->setOperations != NULL || sub->hasWindowFuncs || sub->groupClause != NIL ||
		sub->groupingSets != NIL || sub->havingQual != NULL ||
		sub->distinctClause != NIL || sub->hasTargetSRFs)
		return false;
	derive_cut_open(context->cut, sub);
	foreach (lc, make_ands_implicit((Expr *) sub->jointree->quals))
		if (!take_connection(correlation, lfirst(lc)))
			rest = lappend(rest, lfirst(lc));
	sub->jointree->quals = rest == NIL ? NULL : (Node *) make_ands_explicit(rest);
	if (!derive_surgery_refers_outside((Node *) sub, 0))
		return true;

	if (!derive_cut_domain(context->cut, context->query, whole, NULL, &domain))
		return false;
	correlation->sub = whole;
	correlation->inner = domain.columns;
	correlation->outer = domain.outer;
	correlation->clauses = NIL;
	correlation->witness = list_length(domain.columns);
	return true;
}

/* ---------- the stage of a subquery ---------- */

/*
 * Puts the inner sides of the connections before a subquery's columns, and groups by
 * them if it is asked to.
 */
static Query *
with_keys(Correlation *correlation, bool group)
{
	Query *query = copyObject(correlation->sub);
	List *targets = NIL;
	Index ref = 1;
	ListCell *lc;

	foreach (lc, query->targetList)
		ref = Max(ref, lfirst_node(TargetEntry, lc)->ressortgroupref + 1);
	foreach (lc, correlation->inner)
	{
		TargetEntry *tle = makeTargetEntry(
			copyObject(lfirst(lc)), list_length(targets) + 1,
			psprintf("k%d", list_length(targets) + 1), false);

		if (group)
		{
			SortGroupClause *clause = makeNode(SortGroupClause);

			tle->ressortgroupref = clause->tleSortGroupRef = ref++;
			get_sort_group_operators(exprType((Node *) tle->expr), false, true, false,
									 &clause->sortop, &clause->eqop, NULL,
									 &clause->hashable);
			query->groupClause = lappend(query->groupClause, clause);
		}
		targets = lappend(targets, tle);
	}
	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		tle->resno = list_length(targets) + 1;
		if (tle->resname == NULL)
			tle->resname = psprintf("v%d", tle->resno);
		targets = lappend(targets, tle);
	}
	query->targetList = targets;
	return query;
}

/*
 * Returns the text of the subquery's rows as q(k1 .. kn, v1 .. vm), sort columns last.
 */
static char *
rows_text(Correlation *correlation, int *nvalues)
{
	Query *query = with_keys(correlation, false);
	int nkeys = list_length(correlation->inner);
	StringInfoData sql;
	ListCell *lc;

	query->sortClause = NIL;
	query->limitCount = query->limitOffset = NULL;
	foreach (lc, query->targetList)
	{
		lfirst_node(TargetEntry, lc)->resjunk = false;
		lfirst_node(TargetEntry, lc)->ressortgroupref = 0;
	}
	*nvalues = list_length(query->targetList) - nkeys;
	initStringInfo(&sql);
	appendStringInfo(&sql, "(%s) q(", derive_query_deparse(query, false));
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(&sql, "%sk%d", i > 1 ? ", " : "", i);
	for (int i = 1; i <= *nvalues; i++)
		appendStringInfo(&sql, "%sv%d", i > 1 || nkeys > 0 ? ", " : "", i);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Returns "k1, k2, ... kn" with something before and after, or "" for none.
 */
static char *
keys_text(Correlation *correlation, const char *before, const char *after)
{
	StringInfoData sql;
	int nkeys = list_length(correlation->inner);

	initStringInfo(&sql);
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(&sql, "%sq.k%d", i == 1 ? before : ", ", i);
	if (nkeys > 0)
		appendStringInfoString(&sql, after);
	return sql.data;
}

/*
 * Joins a stage, whose first columns are the keys, to FROM on the nullable side, and
 * returns its range table index; compared: a further pair of equal sides, or NULL.
 */
static int
join_stage(LinkContext *context, Correlation *correlation, Oid relid, OpExpr *compared,
		   Node *outer)
{
	int index = derive_surgery_add_relation(context->query, relid, NULL);
	RangeTblEntry *rte = rt_fetch(index, context->query->rtable);
	List *quals = NIL;
	Relation relation = table_open(relid, NoLock);
	TupleDesc desc = RelationGetDescr(relation);
	int nkeys = list_length(correlation->inner);

	rte->alias = makeAlias(psprintf("s%d", index), NIL);
	rte->eref->aliasname = rte->alias->aliasname;
	for (int i = 0; i < nkeys + (compared != NULL); i++)
	{
		Node *left = copyObject(i < nkeys ? list_nth(correlation->outer, i) : outer);
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Node *right = (Node *) makeVar(index, i + 1, att->atttypid, att->atttypmod,
									   att->attcollation, 0);
		OpExpr *op;
		Node *first;
		bool inner_first;

		if (i < nkeys && correlation->clauses == NIL)
		{
			quals = derive_cut_add_same(quals, context->query, castNode(Var, right),
										left);
			continue;
		}
		op = copyObject(i < nkeys ? list_nth_node(OpExpr, correlation->clauses, i)
								  : compared);
		first = linitial(op->args);
		inner_first = i < nkeys ? equal(first, list_nth(correlation->inner, i))
								: !equal(first, outer);
		op->args = inner_first ? list_make2(right, left) : list_make2(left, right);
		quals = lappend(quals, op);
	}
	table_close(relation, NoLock);
	derive_surgery_left_join(context->query, index, quals);
	return index;
}

/*
 * Makes a reference to a column of a stage.
 */
Expr *
derive_cut_column(Query *query, int index, int attno)
{
	RangeTblEntry *rte = rt_fetch(index, query->rtable);
	Oid type;
	int32 typmod;
	Oid collation;

	get_atttypetypmodcoll(rte->relid, attno, &type, &typmod, &collation);
	return (Expr *) makeVar(index, attno, type, typmod, collation, 0);
}

/*
 * Makes "expression IS [NOT] NULL".
 */
static Expr *
make_null_test(Expr *argument, NullTestType type)
{
	NullTest *test = makeNode(NullTest);

	test->arg = argument;
	test->nulltesttype = type;
	test->argisrow = false;
	test->location = -1;
	return (Expr *) test;
}

/*
 * Makes "CASE WHEN condition THEN result ... ELSE otherwise END" of (condition, result)
 * pairs in a list.
 */
static Node *
make_case(List *pairs, Expr *otherwise)
{
	CaseExpr *result = makeNode(CaseExpr);

	result->casetype = exprType((Node *) otherwise);
	result->casecollid = exprCollation((Node *) otherwise);
	for (int i = 0; i < list_length(pairs); i += 2)
	{
		CaseWhen *when = makeNode(CaseWhen);

		when->expr = list_nth(pairs, i);
		when->result = list_nth(pairs, i + 1);
		when->location = -1;
		result->args = lappend(result->args, when);
	}
	result->defresult = otherwise;
	result->location = -1;
	return (Node *) result;
}

/* ---------- values ---------- */

typedef struct EmptyContext
{
	bool unknown; /* an aggregate's value over nothing is not known */
} EmptyContext;

/*
 * Puts the values that aggregates have over nothing in their place; a mutator.
 */
static Node *
empty_mutator(Node *node, EmptyContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
		context->unknown = true;
	if (IsA(node, Aggref))
	{
		Aggref *aggref = (Aggref *) node;
		const char *name = get_func_name(aggref->aggfnoid);

		if (aggref->aggfnoid >= FirstGenbkiObjectId)
			context->unknown = true;
		if (strcmp(name, "count") == 0 || strcmp(name, "regr_count") == 0)
			return (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
									  Int64GetDatum(0), false, FLOAT8PASSBYVAL);
		if (strcmp(name, "rank") == 0 || strcmp(name, "dense_rank") == 0 ||
			strcmp(name, "percent_rank") == 0 || strcmp(name, "cume_dist") == 0)
			context->unknown = true;
		return (Node *) makeNullConst(aggref->aggtype, -1, aggref->aggcollid);
	}
	return expression_tree_mutator(node, empty_mutator, context);
}

/*
 * Returns an expression's value over nothing, see cut_private.h.
 */
Node *
derive_cut_over_nothing(Node *expression)
{
	EmptyContext empty = {false};
	Node *value = empty_mutator(expression, &empty);

	return empty.unknown ? NULL : eval_const_expressions(NULL, value);
}

/*
 * Makes "CASE WHEN witness IS NULL THEN otherwise ELSE value END".
 */
Node *
derive_cut_unless_null(Expr *witness, Expr *value, Expr *otherwise)
{
	return make_case(list_make2(make_null_test(witness, IS_NULL), otherwise), value);
}

/*
 * (SELECT aggregates ...)
 */
static Node *
aggregate_value(LinkContext *context, Correlation *correlation)
{
	Query *sub = correlation->sub;
	int nkeys = list_length(correlation->inner);
	Node *over_nothing;
	int index;

	sub->sortClause = NIL;
	sub->limitCount = NULL;
	over_nothing = derive_cut_over_nothing(
		(Node *) linitial_node(TargetEntry, sub->targetList)->expr);
	if (over_nothing == NULL && nkeys > 0)
		return NULL;
	index = join_stage(context, correlation,
					   derive_cut_stage(context->cut, with_keys(correlation, true)), NULL,
					   NULL);
	if (nkeys == 0 || (IsA(over_nothing, Const) && ((Const *) over_nothing)->constisnull))
		return (Node *) derive_cut_column(context->query, index, nkeys + 1);
	return derive_cut_unless_null(
		derive_cut_column(context->query, index, correlation->witness),
		derive_cut_column(context->query, index, nkeys + 1), (Expr *) over_nothing);
}

/*
 * True if some of a table's columns are its primary key.
 */
static bool
has_primary_key_among(Oid relid, List *attnos)
{
	Oid constraint;
	Bitmapset *key = get_primary_key_attnos(relid, false, &constraint);
	int member = -1;

	if (key == NULL)
		return false;
	while ((member = bms_next_member(key, member)) >= 0)
		if (!list_member_int(attnos, member + FirstLowInvalidHeapAttributeNumber))
			return false;
	return true;
}

/*
 * (SELECT v FROM table WHERE its primary key = ...): joins the table itself.
 */
static Node *
lookup_value(LinkContext *context, Correlation *correlation)
{
	Query *sub = correlation->sub;
	Query *query = context->query;
	TargetEntry *tle = linitial_node(TargetEntry, sub->targetList);
	RangeTblEntry *rte;
	int varno;
	int index;
	List *attnos = NIL;
	List *quals;
	ListCell *lc;

	if (list_length(sub->jointree->fromlist) != 1 ||
		!IsA(linitial(sub->jointree->fromlist), RangeTblRef) || sub->hasSubLinks)
		return NULL;
	varno = linitial_node(RangeTblRef, sub->jointree->fromlist)->rtindex;
	rte = rt_fetch(varno, sub->rtable);
	if (rte->rtekind != RTE_RELATION || rte->tablesample != NULL)
		return NULL;
	foreach (lc, correlation->inner)
	{
		Var *var = lfirst(lc);

		if (IsA(var, Var) && var->varno == varno)
			attnos = lappend_int(attnos, var->varattno);
	}
	if (derive_sources_is_tree(rte) || !has_primary_key_among(rte->relid, attnos))
		return NULL;

	index = derive_surgery_add_relation(query, rte->relid, NULL);
	rt_fetch(index, query->rtable)->inh = rte->inh;
	rt_fetch(index, query->rtable)->alias = makeAlias(psprintf("s%d", index), NIL);
	rt_fetch(index, query->rtable)->eref->aliasname = psprintf("s%d", index);
	quals = list_concat(copyObject(correlation->clauses),
						make_ands_implicit((Expr *) copyObject(sub->jointree->quals)));
	ChangeVarNodes((Node *) quals, varno, index, 0);
	IncrementVarSublevelsUp((Node *) quals, -1, 1);
	tle = copyObject(tle);
	ChangeVarNodes((Node *) tle, varno, index, 0);
	derive_surgery_left_join(query, index, quals);
	if (IsA(tle->expr, Var))
		return (Node *) tle->expr;
	return make_case(
		list_make2(make_null_test(derive_cut_column(query, index, linitial_int(attnos)),
								  IS_NULL),
				   makeNullConst(exprType((Node *) tle->expr),
								 exprTypmod((Node *) tle->expr),
								 exprCollation((Node *) tle->expr))),
		tle->expr);
}

/*
 * Returns "ORDER BY <prefix>2 ..., <prefix>3 ..." of a subquery's sort clause.
 */
char *
derive_cut_order_text(Query *sub, const char *prefix)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, sub->sortClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		TargetEntry *tle = get_sortgroupclause_tle(clause, sub->targetList);
		HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(clause->sortop));
		Form_pg_operator form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for operator %u", clause->sortop);
		form = (Form_pg_operator) GETSTRUCT(tuple);
		appendStringInfo(&sql, "%s%s%d USING OPERATOR(%s.%s) NULLS %s",
						 sql.len > 0 ? ", " : "ORDER BY ", prefix, tle->resno,
						 quote_identifier(get_namespace_name(form->oprnamespace)),
						 NameStr(form->oprname), clause->nulls_first ? "FIRST" : "LAST");
		ReleaseSysCache(tuple);
	}
	return sql.data;
}

/*
 * (SELECT v ... ORDER BY s LIMIT 1) and ARRAY(SELECT v ... ORDER BY s).
 */
static Node *
ordered_value(LinkContext *context, Correlation *correlation, bool array)
{
	Query *sub = correlation->sub;
	int nvalues;
	char *order = derive_cut_order_text(sub, "q.v");
	char *rows = rows_text(correlation, &nvalues);
	char *sql = psprintf("SELECT %s%spg_catalog.array_agg(q.v1 %s)%s AS v FROM %s%s",
						 keys_text(correlation, "", ", "), array ? "" : "(", order,
						 array ? "" : ")[1]", rows,
						 keys_text(correlation, " GROUP BY ", ""));
	int index = join_stage(context, correlation,
						   derive_cut_stage(context->cut, derive_surgery_parse(sql)),
						   NULL, NULL);
	Expr *value = derive_cut_column(context->query, index,
									list_length(correlation->inner) + 1);

	if (array)
	{
		CoalesceExpr *coalesce = makeNode(CoalesceExpr);
		Oid type = exprType((Node *) value);
		Oid input;
		Oid parameter;

		getTypeInputInfo(type, &input, &parameter);
		coalesce->coalescetype = type;
		coalesce->coalescecollid = exprCollation((Node *) value);
		coalesce->args = list_make2(
			value,
			makeConst(type, -1, exprCollation((Node *) value), -1,
					  OidInputFunctionCall(input, "{}", parameter, -1), false, false));
		coalesce->location = -1;
		return (Node *) coalesce;
	}
	return (Node *) value;
}

/*
 * (SELECT v ... ORDER BY s LIMIT 1) that nothing connects with the row around it
 */
static Node *
first_value(LinkContext *context, Correlation *correlation)
{
	int index = join_stage(context, correlation,
						   derive_cut_stage(context->cut, correlation->sub), NULL, NULL);

	return (Node *) derive_cut_column(context->query, index, 1);
}

/*
 * EXISTS (...)
 */
static Node *
exists_value(LinkContext *context, Correlation *correlation)
{
	int nkeys = list_length(correlation->inner);
	int nvalues;
	char *sql;
	int index;

	correlation->sub->targetList = NIL;
	if (nkeys == 0)
		correlation->sub->targetList = list_make1(
			makeTargetEntry((Expr *) makeBoolConst(true, false), 1, pstrdup("v"), false));
	sql = rows_text(correlation, &nvalues);
	sql = nkeys == 0 ? psprintf("SELECT pg_catalog.count(*) > 0 AS v FROM %s", sql)
					 : psprintf("SELECT %s FROM %s%s", keys_text(correlation, "", ""),
								sql, keys_text(correlation, " GROUP BY ", ""));
	index = join_stage(context, correlation,
					   derive_cut_stage(context->cut, derive_surgery_parse(sql)), NULL,
					   NULL);
	if (nkeys == 0)
		return (Node *) derive_cut_column(context->query, index, 1);
	return (Node *) make_null_test(
		derive_cut_column(context->query, index, correlation->witness), IS_NOT_NULL);
}

/*
 * x IN (SELECT y ...)
 */
static Node *
in_value(LinkContext *context, Correlation *correlation, SubLink *link)
{
	Query *query = context->query;
	int nkeys = list_length(correlation->inner);
	OpExpr *test = (OpExpr *) link->testexpr;
	Node *y = (Node *) linitial_node(TargetEntry, correlation->sub->targetList)->expr;
	int nvalues;
	char *rows;
	char *group;
	Expr *x;
	Oid values;
	Oid facts;
	int value;
	int fact;
	Expr *is_empty;
	Expr *unknown;

	if (!IsA(test, OpExpr) || list_length(test->args) != 2 || !is_group_equality(test, y))
		return NULL;
	x = linitial(test->args);
	if (!IsA(lsecond(test->args), Param) || checkExprHasSubLink((Node *) x))
		return NULL;
	if (correlation->sub->hasAggs || correlation->sub->setOperations != NULL ||
		correlation->sub->hasTargetSRFs || correlation->sub->distinctClause != NIL ||
		correlation->sub->groupClause != NIL || correlation->sub->limitCount != NULL)
	{
		if (nkeys > 0)
			return NULL;
		correlation->sub = derive_surgery_over(
			derive_cut_stage(context->cut, correlation->sub));
	}

	rows = rows_text(correlation, &nvalues);
	group = keys_text(correlation, " GROUP BY ", "");
	values = derive_cut_stage(context->cut, derive_surgery_parse(psprintf(
												"SELECT %sq.v1 AS y FROM %s%s%sq.v1",
												keys_text(correlation, "", ", "), rows,
												group, nkeys > 0 ? ", " : " GROUP BY ")));
	facts = derive_cut_stage(
		context->cut,
		derive_surgery_parse(
			psprintf("SELECT %spg_catalog.count(*) > 0 AS n, pg_catalog.count(q.v1) <"
					 " pg_catalog.count(*) AS has_null FROM %s%s",
					 keys_text(correlation, "", ", "), rows, group)));
	value = join_stage(context, correlation, values, test, (Node *) x);
	fact = join_stage(context, correlation, facts, NULL, NULL);

	is_empty = nkeys > 0
				   ? make_null_test(derive_cut_column(query, fact, correlation->witness),
									IS_NULL)
				   : make_notclause(derive_cut_column(query, fact, 1));
	unknown = makeBoolExpr(OR_EXPR,
						   list_make2(make_null_test(copyObject(x), IS_NULL),
									  derive_cut_column(query, fact, nkeys + 2)),
						   -1);
	return make_case(
		list_concat(list_make2(make_null_test(derive_cut_column(query, value, nkeys + 1),
											  IS_NOT_NULL),
							   makeBoolConst(true, false)),
					list_make4(is_empty, makeBoolConst(false, false), unknown,
							   makeBoolConst(false, true))),
		(Expr *) makeBoolConst(false, false));
}

/*
 * True for LIMIT 1 without OFFSET.
 */
bool
derive_cut_is_limit_one(Query *sub)
{
	Const *limit = (Const *) sub->limitCount;

	while (limit != NULL && IsA(limit, FuncExpr))
		limit = linitial(((FuncExpr *) limit)->args);
	return limit != NULL && IsA(limit, Const) && !limit->constisnull &&
		   sub->limitOffset == NULL && sub->limitOption == LIMIT_OPTION_COUNT &&
		   (limit->consttype == INT4OID
				? DatumGetInt32(limit->constvalue) == 1
				: limit->consttype == INT8OID && DatumGetInt64(limit->constvalue) == 1);
}

/*
 * True if a subquery has nothing above its join tree.
 */
static bool
has_no_step(Query *sub)
{
	return sub->setOperations == NULL && !derive_cut_has_groups(sub) &&
		   !derive_cut_has_limit(sub) && !sub->hasWindowFuncs && !sub->hasTargetSRFs &&
		   sub->distinctClause == NIL;
}

static Node *value_of(LinkContext *context, SubLink *original);

/*
 * Puts a comparison in the place of the only column of a template; a mutator.
 */
static Node *
comparison_mutator(Node *node, Node *comparison)
{
	if (node != NULL && IsA(node, Var))
		return copyObject(comparison);
	return expression_tree_mutator(node, comparison_mutator, comparison);
}

/*
 * x op ANY (SELECT y ...) and x op ALL (SELECT y ...): an aggregate of the comparisons
 */
static Node *
compared_value(LinkContext *context, SubLink *original)
{
	SubLink *link = copyObject(original);
	bool any = link->subLinkType == ANY_SUBLINK;
	Query *sub = (Query *) link->subselect;
	Query *template;

	if (checkExprHasSubLink(link->testexpr))
		return NULL;
	if (!derive_cut_has_limit(sub) && !sub->hasDistinctOn)
		sub->distinctClause = sub->sortClause = NIL;
	if (!has_no_step(sub))
	{
		if (derive_surgery_refers_outside((Node *) sub, 0))
			return NULL;
		sub = derive_surgery_over(derive_cut_stage(context->cut, sub));
		link->subselect = (Node *) sub;
	}
	template = derive_surgery_parse(
		any ? "SELECT CASE WHEN pg_catalog.bool_or(q.c) THEN true"
			  " WHEN pg_catalog.count(*) > pg_catalog.count(q.c) THEN NULL ELSE false END AS v"
			  " FROM (VALUES (true)) q(c)"
			: "SELECT CASE WHEN NOT pg_catalog.bool_and(q.c) THEN false"
			  " WHEN pg_catalog.count(*) > pg_catalog.count(q.c) THEN NULL ELSE true END AS v"
			  " FROM (VALUES (true)) q(c)");
	sub->targetList = (List *) comparison_mutator((Node *) template->targetList,
												  comparison_inside(link));
	sub->hasAggs = true;
	sub->sortClause = NIL;
	link->subLinkType = EXPR_SUBLINK;
	link->testexpr = NULL;
	link->operName = NIL;
	return value_of(context, link);
}

/*
 * Returns a subquery's value as an expression over a join, or NULL.
 */
static Node *
value_of(LinkContext *context, SubLink *original)
{
	SubLink *link = copyObject(original);
	Query *sub = (Query *) link->subselect;
	Correlation correlation;
	Node *value;
	bool limited;
	bool grouped;

	if (sub->limitCount == NULL && sub->limitOffset == NULL && !sub->hasDistinctOn &&
		(link->subLinkType == EXISTS_SUBLINK || link->subLinkType == ANY_SUBLINK))
		sub->distinctClause = sub->sortClause = NIL;
	if (link->subLinkType == EXISTS_SUBLINK && has_no_step(sub))
		sub->targetList = list_make1(
			makeTargetEntry((Expr *) makeBoolConst(true, false), 1, pstrdup("v"), false));
	if (!take_apart(context, sub, &correlation))
		return NULL;
	limited = sub->limitCount != NULL || sub->limitOffset != NULL;
	grouped = sub->groupClause != NIL || sub->groupingSets != NIL ||
			  sub->havingQual != NULL || sub->hasTargetSRFs ||
			  sub->setOperations != NULL || sub->distinctClause != NIL ||
			  sub->hasWindowFuncs;
	switch (link->subLinkType)
	{
		case EXPR_SUBLINK:
			if (sub->hasAggs && !grouped && (!limited || derive_cut_is_limit_one(sub)))
				return aggregate_value(context, &correlation);
			if (correlation.inner == NIL && derive_cut_is_limit_one(sub) &&
				sub->sortClause != NIL)
				return first_value(context, &correlation);
			if (!sub->hasAggs && !grouped && derive_cut_is_limit_one(sub) &&
				sub->sortClause != NIL)
				return ordered_value(context, &correlation, false);
			if (!sub->hasAggs && !grouped && !limited)
				return lookup_value(context, &correlation);
			return NULL;
		case ARRAY_SUBLINK:
			if (!sub->hasAggs && !grouped && !limited && sub->sortClause != NIL &&
				!type_is_array(
					exprType((Node *) linitial_node(TargetEntry, sub->targetList)->expr)))
				return ordered_value(context, &correlation, true);
			return NULL;
		case EXISTS_SUBLINK:
			if (!sub->hasAggs && !grouped && !limited)
				return exists_value(context, &correlation);
			return NULL;
		case ANY_SUBLINK:
			value = limited && list_length(correlation.inner) > 0
						? NULL
						: in_value(context, &correlation, link);
			return value != NULL ? value : compared_value(context, original);
		case ALL_SUBLINK:
			return compared_value(context, original);
		default:
			return NULL;
	}
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
		value = value_of(context, (SubLink *) node);
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
				made = value_of(&context, link);
			made = made != NULL ? (Node *) make_notclause((Expr *) made)
								: existence(&context, link, negated);
		}
		if (made == NULL && checkExprHasSubLink(condition))
			made = value_mutator(condition, &context);
		conditions = lappend(conditions, made != NULL ? made : condition);
	}
	query->jointree->quals = conditions == NIL ? NULL
											   : (Node *) make_ands_explicit(conditions);
	query->targetList = (List *) value_mutator((Node *) query->targetList, &context);
	tree = (Node *) list_make3(query->targetList, query->jointree, query->havingQual);
	query->hasSubLinks = checkExprHasSubLink(tree);
}
