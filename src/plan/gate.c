/*-------------------------------------------------------------------------
 *
 * gate.c
 *	  The gate: what a view's query may contain, and what to do about the rest.
 *
 * Everything that the planner of this folder does not understand is refused here,
 * by name, with its position in the query and a hint.  What comes after the gate
 * may rely on it and only asserts.  The gate works in two passes, because
 * expressions can only be judged once join alias Vars have been replaced by what
 * they stand for, and that in turn needs a FROM clause without surprises:
 *
 *	1. derive_gate_check_query: kind of statement, clauses, FROM items, the
 *	   relations behind them, names and types of the output columns;
 *	2. derive_gate_check_expressions: every node of every expression.
 *
 * To open the gate for a construct, take its line out of the table that has it.
 *
 * Only the range table entries that the join tree reaches are looked at: the query
 * of an ordinary view carries entries for OLD and NEW in some versions, which mean
 * nothing.  Relations are judged from the syscache and are not opened; the caller
 * holds locks on those that the query names, partitions are not locked.  Row-level
 * security is judged for the current user, so call this as the view's owner.
 *
 * Runs in the backend that calls derive.create_view or derive.explain, and in the
 * applier each time a plan is made again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "change/layout.h"
#include "plan/gate.h"
#include "plan/region.h"

/* A construct that is refused when it is present. */
typedef struct Refusal
{
	bool present;
	int location;
	const char *construct;
	const char *hint;
} Refusal;

/* What the walk over expressions needs to report. */
typedef struct GateContext
{
	List *queries; /* the block that is checked, then those around it */
	const char *source_text;
	Node *node; /* whose functions are being checked */
} GateContext;

static const char *const hint_read =
	"Leave it out, and apply it when reading the derived view.";
static const char *const hint_own_view =
	"Make it a derived view of its own, and name that in FROM.";
static const char *const hint_table = "Store the rows in a table, and name that in FROM.";
static const char *const hint_join =
	"Join the subquery's tables, or make it a derived view of its own and join that.";
static const char *const hint_column =
	"Store the value in a column, or compute it when reading the derived view.";

/*
 * Refuses a construct; see gate.h.
 */
void
derive_gate_refuse(const char *source_text, int location, const char *construct,
				   const char *detail, const char *hint)
{
	int position = 0;

	if (source_text != NULL && location >= 0)
		position = pg_mbstrlen_with_len(source_text, location) + 1;

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("derived views do not support %s", construct),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0, position > 0 ? errposition(position) : 0));
}

/*
 * Refuses the first construct of a table that is present.
 */
static void
refuse_any(const char *source_text, const Refusal *refusals, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (refusals[i].present)
			derive_gate_refuse(source_text, refusals[i].location, refusals[i].construct,
							   NULL, refusals[i].hint);
	}
}

/*
 * Returns the position of the first expression that a list of SortGroupClauses
 * refers to, or -1.
 */
static int
sort_clause_location(Query *query, List *clauses)
{
	if (clauses == NIL)
		return -1;
	return exprLocation(get_sortgroupclause_expr(linitial(clauses), query->targetList));
}

/*
 * Returns the position of the first grouping set, or -1.
 */
static int
grouping_sets_location(Query *query)
{
	if (query->groupingSets == NIL)
		return -1;
	return ((GroupingSet *) linitial(query->groupingSets))->location;
}

/*
 * Returns the position of the first common table expression, or -1.
 */
static int
cte_location(Query *query)
{
	if (query->cteList == NIL)
		return -1;
	return ((CommonTableExpr *) linitial(query->cteList))->location;
}

/*
 * Refuses what is not a plain SELECT.
 */
static void
check_statement(Query *query, const char *source_text)
{
	bool select_into = query->commandType == CMD_UTILITY && query->utilityStmt != NULL &&
					   IsA(query->utilityStmt, CreateTableAsStmt);
	Refusal refusals[] = {
		{select_into, -1, "SELECT INTO and CREATE TABLE AS",
		 "Give the SELECT alone; the derived view is made by derive.create_view."},
		{query->commandType != CMD_SELECT, -1, "statements other than SELECT",
		 "Give one SELECT statement."},
	};

	refuse_any(source_text, refusals, lengthof(refusals));
}

/*
 * Refuses clauses beside FROM, WHERE, GROUP BY and HAVING.
 */
static void
check_clauses(Query *query, const char *source_text)
{
	Refusal refusals[] = {
		{query->hasModifyingCTE, cte_location(query), "data-modifying statements in WITH",
		 "Give one SELECT statement that only reads."},
		{query->hasRecursive, cte_location(query), "WITH RECURSIVE",
		 "Compute the recursion when reading, from a derived view of its edges."},
		{query->cteList != NIL, cte_location(query), "WITH (common table expressions)",
		 hint_own_view},
		{query->setOperations != NULL, -1, "UNION, INTERSECT and EXCEPT",
		 "Make each branch a derived view, and combine them in an ordinary view."},
		{query->rowMarks != NIL, -1, "FOR UPDATE and FOR SHARE",
		 "Leave it out: maintenance locks no rows."},
		{query->hasDistinctOn, sort_clause_location(query, query->distinctClause),
		 "DISTINCT ON", "Use GROUP BY with min or max, and join the rows when reading."},
		{query->distinctClause != NIL, sort_clause_location(query, query->distinctClause),
		 "DISTINCT", "Use GROUP BY over all output columns, which gives the same rows."},
		{query->sortClause != NIL, sort_clause_location(query, query->sortClause),
		 "ORDER BY", hint_read},
		{query->limitCount != NULL, exprLocation(query->limitCount), "LIMIT and FETCH",
		 hint_read},
		{query->limitOffset != NULL, exprLocation(query->limitOffset), "OFFSET",
		 hint_read},
		{query->groupingSets != NIL, grouping_sets_location(query),
		 "GROUPING SETS, ROLLUP and CUBE",
		 "Make one derived view for each set of grouping columns."},
		{query->groupDistinct, -1, "GROUP BY DISTINCT", "Use GROUP BY."},
	};

	refuse_any(source_text, refusals, lengthof(refusals));
}

/*
 * True if a relation is one that pg_derive keeps for itself.
 */
static bool
is_own_table(Oid relid)
{
	char *schema = get_namespace_name(get_rel_namespace(relid));

	return strcmp(schema, "derive") == 0 || strcmp(schema, "derive_state") == 0;
}

/*
 * Refuses relations of a kind or persistence whose changes are not in the WAL.
 */
static void
check_relation_kind(Oid relid, const char *source_text)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	char kind;
	char persistence;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	kind = form->relkind;
	persistence = form->relpersistence;
	ReleaseSysCache(tuple);

	{
		Refusal refusals[] = {
			{kind == RELKIND_VIEW, -1, "views in FROM",
			 "Write the view's query into this one, or make it a derived view first."},
			{kind == RELKIND_MATVIEW, -1, "materialized views in FROM",
			 "Make the materialized view a derived view, and name that in FROM."},
			{kind == RELKIND_FOREIGN_TABLE, -1, "foreign tables", hint_table},
			{kind == RELKIND_SEQUENCE, -1, "sequences in FROM", hint_table},
			{IsCatalogRelationOid(relid), -1, "system catalogs", hint_table},
			{is_own_table(relid), -1, "pg_derive's own tables", hint_table},
			{kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE, -1,
			 "relations that are not tables", hint_table},
			{persistence == RELPERSISTENCE_TEMP, -1, "temporary tables",
			 "Use an ordinary table."},
			{persistence == RELPERSISTENCE_UNLOGGED, -1, "unlogged tables",
			 "Use ALTER TABLE ... SET LOGGED: changes are followed through the WAL."},
		};

		for (int i = 0; i < lengthof(refusals); i++)
		{
			if (refusals[i].present)
				derive_gate_refuse(
					source_text, -1, refusals[i].construct,
					psprintf("The query reads %s.", derive_relation_name(relid)),
					refusals[i].hint);
		}
	}
}

/*
 * Checks all partitions below a partitioned table, which are not locked for that.
 */
static void
check_partitions(Oid relid, const char *source_text)
{
	ListCell *lc;

	foreach (lc, find_all_inheritors(relid, NoLock, NULL))
	{
		if (lfirst_oid(lc) != relid &&
			SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			check_relation_kind(lfirst_oid(lc), source_text);
	}
}

/*
 * Checks one table of the FROM clause.
 */
static void
check_relation(RangeTblEntry *rte, const char *source_text)
{
	bool partitioned;
	char *detail;

	check_relation_kind(rte->relid, source_text);

	partitioned = get_rel_relkind(rte->relid) == RELKIND_PARTITIONED_TABLE;
	detail = psprintf("The query reads %s.", derive_relation_name(rte->relid));
	if (rte->tablesample != NULL)
		derive_gate_refuse(source_text, exprLocation(linitial(rte->tablesample->args)),
						   "TABLESAMPLE", detail, hint_read);
	if (partitioned && !rte->inh)
		derive_gate_refuse(source_text, -1, "ONLY with a partitioned table", detail,
						   "Leave ONLY out: the table itself has no rows.");
	if (!partitioned && rte->inh && find_inheritance_children(rte->relid, NoLock) != NIL)
		derive_gate_refuse(
			source_text, -1, "tables with inheritance children", detail,
			"Write ONLY before the table's name, or use a partitioned table.");
	if (check_enable_rls(rte->relid, InvalidOid, true) == RLS_ENABLED)
		derive_gate_refuse(
			source_text, -1, "row-level security that applies to the view's owner",
			detail, "Let a role own the view that the table's policies do not apply to.");
	if (partitioned)
		check_partitions(rte->relid, source_text);
}

/*
 * Checks one range table entry of the FROM clause.
 */
static void
check_from_entry(RangeTblEntry *rte, const char *source_text)
{
	int subquery_location = -1;

	if (rte->rtekind == RTE_RELATION)
	{
		check_relation(rte, source_text);
		return;
	}
	if (rte->rtekind == RTE_FUNCTION || rte->rtekind == RTE_RESULT ||
		derive_region_is_values(rte))
		return;

	if (rte->rtekind == RTE_SUBQUERY && rte->subquery->targetList != NIL)
		subquery_location = exprLocation(
			(Node *) linitial_node(TargetEntry, rte->subquery->targetList)->expr);

	{
		Refusal refusals[] = {
			{rte->lateral, subquery_location, "LATERAL subqueries",
			 "Write it as a join."},
			{rte->rtekind == RTE_SUBQUERY, subquery_location, "subqueries in FROM",
			 hint_own_view},
			{rte->rtekind == RTE_TABLEFUNC, exprLocation((Node *) rte->tablefunc),
			 "XMLTABLE and JSON_TABLE", hint_table},
			{true, -1, "this kind of FROM item", hint_table},
		};

		refuse_any(source_text, refusals, lengthof(refusals));
	}
}

/*
 * Checks the items of a join tree.
 */
static void
check_join_tree(Query *query, Node *node, const char *source_text)
{
	if (IsA(node, RangeTblRef))
		check_from_entry(rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable),
						 source_text);
	else if (IsA(node, JoinExpr))
	{
		check_join_tree(query, ((JoinExpr *) node)->larg, source_text);
		check_join_tree(query, ((JoinExpr *) node)->rarg, source_text);
	}
	else
	{
		ListCell *lc;

		foreach (lc, castNode(FromExpr, node)->fromlist)
			check_join_tree(query, lfirst(lc), source_text);
	}
}

/*
 * Returns the conditions of a query's WHERE, or those of them that are [NOT] EXISTS over
 * a block that can be maintained, as such blocks.
 */
static List *
where_conditions(Query *query, bool exists)
{
	List *conditions = NIL;
	bool negated;
	ListCell *lc;

	foreach (lc, derive_region_split_condition(query->jointree->quals))
	{
		Query *block = derive_region_exists_block(lfirst(lc), &negated);

		if (exists && block != NULL)
			conditions = lappend(conditions, block);
		else if (!exists && block == NULL)
			conditions = lappend(conditions, lfirst(lc));
	}
	return conditions;
}

/*
 * Checks FROM of a query, and of the blocks that its WHERE asks for rows.
 */
static void
check_from(Query *query, const char *source_text)
{
	ListCell *lc;

	check_join_tree(query, (Node *) query->jointree, source_text);
	foreach (lc, where_conditions(query, true))
		check_from(lfirst(lc), source_text);
}

/*
 * True if a table cannot have a user column of that name.
 */
static bool
is_reserved_column_name(const char *name)
{
	static const char *const reserved[] = {
		"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", DERIVE_SIGN_COLUMN};

	for (int i = 0; i < lengthof(reserved); i++)
	{
		if (strcmp(name, reserved[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Checks names and types of the output columns.
 */
static void
check_output_columns(Query *query, const char *source_text)
{
	List *names = NIL;
	ListCell *lc;

	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		int location = exprLocation((Node *) tle->expr);
		String *name;

		if (tle->resjunk)
			continue;
		name = makeString(tle->resname);
		if (list_member(names, name))
			derive_gate_refuse(
				source_text, location, "several output columns of one name",
				psprintf("Column name \"%s\" appears more than once.", tle->resname),
				"Give each column a name of its own with AS.");
		if (is_reserved_column_name(tle->resname))
			derive_gate_refuse(source_text, location,
							   "output columns with a reserved name",
							   psprintf("Column name \"%s\" is reserved.", tle->resname),
							   "Give the column another name with AS.");
		if (get_typtype(exprType((Node *) tle->expr)) == TYPTYPE_PSEUDO)
			derive_gate_refuse(source_text, location, "output columns of a pseudo-type",
							   psprintf("Column \"%s\" has type %s.", tle->resname,
										format_type_be(exprType((Node *) tle->expr))),
							   "Cast it to a type that a table's column can have.");
		names = lappend(names, name);
	}

	if (names == NIL)
		derive_gate_refuse(source_text, -1, "queries without output columns", NULL,
						   "Name the columns after SELECT.");
}

/*
 * Checks all of a query but its expressions.
 */
void
derive_gate_check_query(Query *query, const char *source_text)
{
	check_statement(query, source_text);
	check_clauses(query, source_text);
	check_from(query, source_text);
	check_output_columns(query, source_text);
}

/*
 * Checks a reference to a column of a table.
 */
static void
check_var(Var *var, GateContext *context)
{
	Query *query = list_nth_node(Query, context->queries, var->varlevelsup);
	RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);
	HeapTuple tuple;
	char generated;
	char *name;

	if (var->varattno == InvalidAttrNumber)
		derive_gate_refuse(context->source_text, var->location, "whole-row references",
						   NULL, "Name the columns.");
	if (rte->rtekind != RTE_RELATION)
		return;

	name = get_attname(rte->relid, var->varattno, false);
	if (var->varattno < 0)
		derive_gate_refuse(context->source_text, var->location, "system columns",
						   psprintf("\"%s\" is a system column.", name),
						   "Use the table's own columns.");
	if (strcmp(name, DERIVE_SIGN_COLUMN) == 0)
		derive_gate_refuse(context->source_text, var->location,
						   "source columns with a reserved name",
						   psprintf("Column name \"%s\" is reserved.", name),
						   "Rename the table's column.");

	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(rte->relid),
							Int16GetDatum(var->varattno));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u", var->varattno,
			 rte->relid);
	generated = ((Form_pg_attribute) GETSTRUCT(tuple))->attgenerated;
	ReleaseSysCache(tuple);
	if (generated == ATTRIBUTE_GENERATED_VIRTUAL)
		derive_gate_refuse(
			context->source_text, var->location, "virtual generated columns",
			psprintf("Column \"%s\" is not stored.", name),
			"Write the column's expression into the query, or make it STORED.");
}

/*
 * Checks an aggregate call.  Which argument types are understood is no question: the
 * accepted functions are core's own, and for them all types are.
 */
static void
check_aggregate(Aggref *aggref, GateContext *context)
{
	static const char *const accepted[] = {"avg", "count", "max", "min", "sum"};
	char *name = get_func_name(aggref->aggfnoid);
	bool found = false;

	if (aggref->aggkind != AGGKIND_NORMAL)
		derive_gate_refuse(context->source_text, aggref->location,
						   "ordered-set and hypothetical-set aggregates",
						   psprintf("The query calls %s.", name),
						   "Compute it when reading, or derive its inputs.");
	if (aggref->aggdistinct != NIL)
		derive_gate_refuse(
			context->source_text, aggref->location, "DISTINCT in aggregates",
			psprintf("The query calls %s.", name),
			"Derive a view that groups by the argument too, and aggregate over it.");
	if (aggref->aggorder != NIL)
		derive_gate_refuse(context->source_text, aggref->location,
						   "ORDER BY in aggregates",
						   psprintf("The query calls %s.", name), hint_read);

	for (int i = 0; i < lengthof(accepted); i++)
	{
		if (aggref->aggfnoid < FirstGenbkiObjectId && strcmp(name, accepted[i]) == 0)
			found = true;
	}
	if (!found)
		derive_gate_refuse(
			context->source_text, aggref->location,
			psprintf("aggregate function %s", format_procedure(aggref->aggfnoid)), NULL,
			"Use count, sum, avg, min or max, or compute it when reading.");
}

/*
 * Refuses a function that is not immutable; a check_function_callback.
 */
static bool
check_function(Oid funcid, void *arg)
{
	GateContext *context = (GateContext *) arg;
	char volatility = func_volatile(funcid);
	const char *word = volatility == PROVOLATILE_STABLE ? "stable" : "volatile";
	const char *called = "";

	if (volatility == PROVOLATILE_IMMUTABLE)
		return false;

	if (IsA(context->node, OpExpr) || IsA(context->node, DistinctExpr) ||
		IsA(context->node, NullIfExpr))
		called = psprintf("Operator %s calls ",
						  format_operator(((OpExpr *) context->node)->opno));
	else if (IsA(context->node, ScalarArrayOpExpr))
		called = psprintf("Operator %s calls ",
						  format_operator(((ScalarArrayOpExpr *) context->node)->opno));
	else if (IsA(context->node, CoerceViaIO))
	{
		CoerceViaIO *coerce = (CoerceViaIO *) context->node;

		called = psprintf("The cast from %s to %s calls ",
						  format_type_be(exprType((Node *) coerce->arg)),
						  format_type_be(coerce->resulttype));
	}
	else
		called = "The query calls ";

	derive_gate_refuse(
		context->source_text, exprLocation(context->node), psprintf("%s functions", word),
		psprintf("%s%s, which is %s: its result can change without a change "
				 "of any row.",
				 called, format_procedure(funcid), word),
		volatility == PROVOLATILE_STABLE
			? "Use an immutable form, for example with a constant time zone, or "
			  "compute it when reading the derived view."
			: hint_column);
}

/*
 * Returns the name under which a subquery expression is refused.
 */
static const char *
sublink_name(SubLink *sublink)
{
	switch (sublink->subLinkType)
	{
		case EXISTS_SUBLINK:
			return "EXISTS subqueries";
		case ANY_SUBLINK:
			return "IN and ANY subqueries";
		case ALL_SUBLINK:
			return "ALL subqueries";
		case EXPR_SUBLINK:
			return "scalar subqueries";
		case ARRAY_SUBLINK:
			return "ARRAY subqueries";
		default:
			return "row subqueries";
	}
}

/*
 * Returns what is called for a keyword that stands for a stable function.
 */
static const char *
sql_value_name(SQLValueFunction *node)
{
	switch (node->op)
	{
		case SVFOP_CURRENT_DATE:
			return "CURRENT_DATE";
		case SVFOP_CURRENT_TIME:
		case SVFOP_CURRENT_TIME_N:
			return "CURRENT_TIME";
		case SVFOP_CURRENT_TIMESTAMP:
		case SVFOP_CURRENT_TIMESTAMP_N:
			return "CURRENT_TIMESTAMP";
		case SVFOP_LOCALTIME:
		case SVFOP_LOCALTIME_N:
			return "LOCALTIME";
		case SVFOP_LOCALTIMESTAMP:
		case SVFOP_LOCALTIMESTAMP_N:
			return "LOCALTIMESTAMP";
		case SVFOP_CURRENT_CATALOG:
			return "CURRENT_CATALOG";
		case SVFOP_CURRENT_SCHEMA:
			return "CURRENT_SCHEMA";
		default:
			return "CURRENT_USER";
	}
}

/*
 * Finds the first call of a set-returning function or operator; a walker.
 */
static bool
set_function_walker(Node *node, int *location)
{
	if (node == NULL)
		return false;
	if ((IsA(node, FuncExpr) && ((FuncExpr *) node)->funcretset) ||
		(IsA(node, OpExpr) && ((OpExpr *) node)->opretset))
	{
		*location = exprLocation(node);
		return true;
	}
	return expression_tree_walker(node, set_function_walker, location);
}

/*
 * Returns the location of the first call of a set-returning function, or -1.
 */
static int
find_set_function(Node *node)
{
	int location = -1;

	set_function_walker(node, &location);
	return location;
}

/*
 * Checks a node of an expression and all below it; never returns true.
 */
static bool
check_expression_walker(Node *node, GateContext *context)
{
	if (node == NULL)
		return false;

	{
		Refusal refusals[] = {
			{IsA(node, SubLink), exprLocation(node),
			 IsA(node, SubLink) ? sublink_name((SubLink *) node) : NULL, hint_join},
			{IsA(node, WindowFunc), exprLocation(node), "window functions",
			 "Compute them when reading the derived view."},
			{IsA(node, GroupingFunc), exprLocation(node), "GROUPING",
			 "Make one derived view for each set of grouping columns."},
			{IsA(node, Param), exprLocation(node), "parameters", "Write the value."},
			{IsA(node, NextValueExpr), -1, "volatile functions", hint_column},
			{IsA(node, SQLValueFunction), exprLocation(node),
			 IsA(node, SQLValueFunction) ? sql_value_name((SQLValueFunction *) node)
										 : NULL,
			 hint_column},
		};

		refuse_any(context->source_text, refusals, lengthof(refusals));
	}

	if (IsA(node, Var))
		check_var((Var *) node, context);
	if (IsA(node, Aggref))
		check_aggregate((Aggref *) node, context);
	context->node = node;
	check_functions_in_node(node, check_function, context);

	return expression_tree_walker(node, check_expression_walker, context);
}

/*
 * Checks an expression.  Core's own test comes last, for nodes of later versions that
 * depend on settings in ways of their own.
 */
static void
check_expression(Node *expression, GateContext *context)
{
	check_expression_walker(expression, context);
	if (contain_mutable_functions(expression))
		derive_gate_refuse(context->source_text, exprLocation(expression),
						   "expressions that depend on settings", NULL, hint_column);
}

/*
 * Checks the expressions of a join tree: conditions, functions and VALUES.  VALUES as a
 * subquery are one block further in.
 */
static void
check_join_expressions(Node *node, GateContext *context)
{
	Query *query = linitial_node(Query, context->queries);

	if (IsA(node, RangeTblRef))
	{
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable);

		check_expression((Node *) rte->functions, context);
		check_expression((Node *) rte->values_lists, context);
		if (rte->rtekind == RTE_SUBQUERY)
		{
			context->queries = lcons(rte->subquery, context->queries);
			check_join_expressions((Node *) rte->subquery->jointree, context);
			context->queries = list_delete_first(context->queries);
		}
	}
	else if (IsA(node, JoinExpr))
	{
		check_join_expressions(((JoinExpr *) node)->larg, context);
		check_join_expressions(((JoinExpr *) node)->rarg, context);
		check_expression(((JoinExpr *) node)->quals, context);
	}
	else
	{
		ListCell *lc;

		foreach (lc, castNode(FromExpr, node)->fromlist)
			check_join_expressions(lfirst(lc), context);
	}
}

/*
 * Checks FROM and WHERE of the context's innermost query, and of the blocks that WHERE
 * asks for rows.
 */
static void
check_block_expressions(GateContext *context)
{
	Query *query = linitial_node(Query, context->queries);
	ListCell *lc;

	check_join_expressions((Node *) query->jointree, context);
	check_expression((Node *) where_conditions(query, false), context);
	foreach (lc, where_conditions(query, true))
	{
		Query *block = copyObject(lfirst_node(Query, lc));

		block->jointree = (FromExpr *) derive_flatten_join_vars(block,
																(Node *) block->jointree);
		context->queries = lcons(block, context->queries);
		check_block_expressions(context);
		context->queries = list_delete_first(context->queries);
	}
}

/*
 * Checks the expressions of a query, see gate.h.
 */
void
derive_gate_check_expressions(Query *query, const char *source_text)
{
	GateContext context = {list_make1(query), source_text, NULL};
	bool aggregates = query->hasAggs || query->groupClause != NIL ||
					  query->havingQual != NULL;

	check_expression((Node *) query->targetList, &context);
	check_block_expressions(&context);
	check_expression(query->havingQual, &context);
	if (aggregates && query->hasTargetSRFs)
		derive_gate_refuse(source_text, find_set_function((Node *) query->targetList),
						   "set-returning functions together with aggregates", NULL,
						   hint_own_view);
}
