/*-------------------------------------------------------------------------
 *
 * cut_values.c
 *	  Subqueries whose value is wanted: into joins with stages.
 *
 * If a subquery depends on the row around it only by equalities "expression of the row =
 * expression k inside", its values for all k are one table, which becomes a stage and is
 * joined to FROM on the equalities, with NULLs where it has no row:
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
 * Without any equality each of them has one row, or none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "plan/cut_private.h"
#include "plan/first.h"
#include "plan/sources.h"
#include "plan/surgery.h"

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
		return derive_surgery_null(aggref->aggtype, -1, aggref->aggcollid);
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

	if (empty.unknown)
		return NULL;
	/* what a user's function says may become another thing when that is replaced */
	return derive_sources_calls_replaceable(value) ? value
												   : eval_const_expressions(NULL, value);
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
	index = derive_cut_join_stage(
		context, correlation,
		derive_cut_stage(context->cut, derive_cut_with_keys(correlation, true)), NULL,
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
				   derive_surgery_null(exprType((Node *) tle->expr),
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
 * True if the value of a subquery is an array: array_agg puts such ones together to an
 * array with one more dimension, of which [1] is not the first of them.
 */
static bool
gives_array(Query *sub)
{
	return type_is_array_domain(
		exprType((Node *) linitial_node(TargetEntry, sub->targetList)->expr));
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
	char *rows = derive_cut_rows_text(correlation, &nvalues);
	char *sql = psprintf("SELECT %s%spg_catalog.array_agg(q.v1 %s)%s AS v FROM %s%s",
						 derive_cut_keys_text(correlation, "", ", "), array ? "" : "(",
						 order, array ? "" : ")[1]", rows,
						 derive_cut_keys_text(correlation, " GROUP BY ", ""));
	int index = derive_cut_join_stage(
		context, correlation, derive_cut_stage(context->cut, derive_surgery_parse(sql)),
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
	int index = derive_cut_join_stage(context, correlation,
									  derive_cut_stage(context->cut, correlation->sub),
									  NULL, NULL);

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
	sql = derive_cut_rows_text(correlation, &nvalues);
	sql = nkeys == 0
			  ? psprintf("SELECT pg_catalog.count(*) > 0 AS v FROM %s", sql)
			  : psprintf("SELECT %s FROM %s%s", derive_cut_keys_text(correlation, "", ""),
						 sql, derive_cut_keys_text(correlation, " GROUP BY ", ""));
	index = derive_cut_join_stage(
		context, correlation, derive_cut_stage(context->cut, derive_surgery_parse(sql)),
		NULL, NULL);
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

	if (!IsA(test, OpExpr) || list_length(test->args) != 2 ||
		!derive_cut_is_group_equality(test, y))
		return NULL;
	x = linitial(test->args);
	if (!IsA(lsecond(test->args), Param) || checkExprHasSubLink((Node *) x))
		return NULL;
	if (correlation->sub->hasAggs || correlation->sub->setOperations != NULL ||
		correlation->sub->hasTargetSRFs || correlation->sub->hasWindowFuncs ||
		correlation->sub->distinctClause != NIL || correlation->sub->groupClause != NIL ||
		derive_cut_has_limit(correlation->sub))
	{
		if (nkeys > 0)
			return NULL;
		correlation->sub = derive_surgery_over(
			derive_cut_stage(context->cut, correlation->sub));
	}

	rows = derive_cut_rows_text(correlation, &nvalues);
	group = derive_cut_keys_text(correlation, " GROUP BY ", "");
	values = derive_cut_stage(
		context->cut,
		derive_surgery_parse(psprintf("SELECT %sq.v1 AS y FROM %s%s%sq.v1",
									  derive_cut_keys_text(correlation, "", ", "), rows,
									  group, nkeys > 0 ? ", " : " GROUP BY ")));
	facts = derive_cut_stage(
		context->cut,
		derive_surgery_parse(
			psprintf("SELECT %spg_catalog.count(*) > 0 AS n, pg_catalog.count(q.v1) <"
					 " pg_catalog.count(*) AS has_null FROM %s%s",
					 derive_cut_keys_text(correlation, "", ", "), rows, group)));
	value = derive_cut_join_stage(context, correlation, values, test, (Node *) x);
	fact = derive_cut_join_stage(context, correlation, facts, NULL, NULL);

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
	int64 skip;
	int64 count;

	return sub->limitCount != NULL && sub->limitOffset == NULL &&
		   sub->limitOption == LIMIT_OPTION_COUNT &&
		   derive_first_counts(sub, &skip, &count) && count == 1;
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
												  derive_cut_comparison_inside(link));
	sub->hasAggs = true;
	sub->sortClause = NIL;
	link->subLinkType = EXPR_SUBLINK;
	link->testexpr = NULL;
	link->operName = NIL;
	return derive_cut_value_of(context, link);
}

/*
 * Returns a subquery's value as an expression over a join, or NULL.
 */
Node *
derive_cut_value_of(LinkContext *context, SubLink *original)
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
	if (!derive_cut_take_apart(context, sub, &correlation))
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
				sub->sortClause != NIL && !gives_array(sub))
				return ordered_value(context, &correlation, false);
			if (!sub->hasAggs && !grouped && !limited)
				return lookup_value(context, &correlation);
			return NULL;
		case ARRAY_SUBLINK:
			if (!sub->hasAggs && !grouped && !limited && sub->sortClause != NIL &&
				!gives_array(sub))
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
