/*-------------------------------------------------------------------------
 *
 * gate.c
 *	  The gate: what a view's query may contain, and what to do about the rest.
 *
 * Refused is what no rule can maintain, not even by computing everything anew: what
 * changes although no row does, what is not in the WAL, and what core does not
 * determine.  It is refused by name, with its position in the query and a hint, at
 * whatever depth it occurs.  Which rule is good for the rest is not decided here (see
 * classify.c).  The gate works in two passes:
 *
 *	1. derive_gate_check_query: kind of statement, clauses, the relations in FROM,
 *	   names and types of the output columns;
 *	2. derive_gate_check_expressions: every node of every expression.
 *
 * Only the range table entries that a join tree reaches are looked at: the query
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
#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "catalog/view_catalog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "change/layout.h"
#include "plan/gate.h"
#include "plan/json_calls.h"
#include "plan/region.h"
#include "plan/sources.h"

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
	List *queries; /* the present query, then those around it */
	const char *source_text;
	Node *node;	 /* whose functions are being checked */
	bool exists; /* the next query is that of an EXISTS, where LIMIT chooses no rows */
} GateContext;

static const char *const hint_table = "Store the rows in a table, and name that in FROM.";
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
 * Returns the first expression that GROUP BY or DISTINCT compares by another equality than
 * its type's own, or NULL.  They take it from ORDER BY ... USING, which says nothing to those
 * who read the rows, and is therefore left out where groups are kept.
 */
static Node *
strange_equality(Query *query)
{
	List *clauses = list_copy(query->groupClause);
	ListCell *lc;

	if (!query->hasDistinctOn)
		clauses = list_concat(clauses, query->distinctClause);
	foreach (lc, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		Node *expression = get_sortgroupclause_expr(clause, query->targetList);

		if (lookup_type_cache(exprType(expression), TYPECACHE_EQ_OPR)->eq_opr !=
			clause->eqop)
			return expression;
	}
	return NULL;
}

/*
 * Refuses clauses that do more than read, or that leave open which rows are meant.
 */
static void
check_clauses(Query *query, bool exists, const char *source_text)
{
	bool cuts = query->limitCount != NULL || query->limitOffset != NULL;
	Node *cut = query->limitCount ? query->limitCount : query->limitOffset;
	Node *strange = strange_equality(query);
	Refusal refusals[] = {
		{query->hasModifyingCTE, cte_location(query), "data-modifying statements in WITH",
		 "Give one SELECT statement that only reads."},
		{query->rowMarks != NIL, -1, "FOR UPDATE and FOR SHARE",
		 "Leave it out: maintenance locks no rows."},
		{cuts && !exists && query->sortClause == NIL, exprLocation(cut),
		 "LIMIT, FETCH and OFFSET without ORDER BY",
		 "Add ORDER BY: without it, which rows are meant is not determined."},
		{strange != NULL, exprLocation(strange),
		 "GROUP BY and DISTINCT by another equality than the type's own",
		 "Order by it without USING, or when reading the derived view."},
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

	return (strcmp(schema, "derive") == 0 || strcmp(schema, "derive_state") == 0) &&
		   !derive_catalog_has_view(relid);
}

/*
 * Refuses relations of a kind or persistence whose changes are not in the WAL; below: it
 * is read as a part of another one.
 */
static void
check_relation_kind(Oid relid, bool below, const char *source_text)
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
			{kind == RELKIND_FOREIGN_TABLE && below, -1,
			 "partitions and inheritance children that are foreign tables",
			 "Name those that are tables, and join the rest by UNION ALL."},
			{kind == RELKIND_SEQUENCE, -1, "sequences in FROM", hint_table},
			{IsCatalogRelationOid(relid), -1, "system catalogs", hint_table},
			{is_own_table(relid), -1, "pg_derive's own tables", hint_table},
			{kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
				 kind != RELKIND_VIEW && !derive_sources_is_silent(relid),
			 -1, "relations that are not tables", hint_table},
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
 * Checks all partitions and inheritance children below a table, which are not locked for
 * that.
 */
static void
check_tables_below(Oid relid, const char *source_text)
{
	ListCell *lc;

	foreach (lc, find_all_inheritors(relid, NoLock, NULL))
	{
		if (lfirst_oid(lc) != relid &&
			SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			check_relation_kind(lfirst_oid(lc), true, source_text);
	}
}

/*
 * Checks a TABLESAMPLE: it must take the same rows again, and of a table, whose rows move
 * only when the log or its file says so.
 */
static void
check_sample(RangeTblEntry *rte, const char *source_text)
{
	int position = exprLocation(linitial(rte->tablesample->args));

	if (rte->tablesample->repeatable == NULL)
		derive_gate_refuse(
			source_text, position, "TABLESAMPLE without REPEATABLE",
			"It takes other rows each time.",
			"Add REPEATABLE (seed), or choose rows by what is in them, for "
			"example WHERE hashint4(id) % 100 < 10.");
	if (derive_sources_is_silent(rte->relid) || derive_catalog_has_view(rte->relid))
		derive_gate_refuse(
			source_text, position, "TABLESAMPLE of a view's table",
			"Which rows it takes depends on where they are stored, which is the "
			"business of whoever maintains that table.",
			"Choose rows by what is in them, for example WHERE hashint4(id) % 100 < 10.");
}

/*
 * Checks one table of the FROM clause.
 */
static void
check_relation(RangeTblEntry *rte, const char *source_text)
{
	bool partitioned;
	char *detail;

	check_relation_kind(rte->relid, false, source_text);

	partitioned = get_rel_relkind(rte->relid) == RELKIND_PARTITIONED_TABLE;
	detail = psprintf("The query reads %s.", derive_relation_name(rte->relid));
	if (rte->tablesample != NULL)
		check_sample(rte, source_text);
	if (partitioned && !rte->inh)
		derive_gate_refuse(source_text, -1, "ONLY with a partitioned table", detail,
						   "Leave ONLY out: the table itself has no rows.");
	if (check_enable_rls(rte->relid, InvalidOid, true) == RLS_ENABLED)
		derive_gate_refuse(
			source_text, -1, "row-level security that applies to the view's owner",
			detail, "Let a role own the view that the table's policies do not apply to.");
	if (rte->inh)
		check_tables_below(rte->relid, source_text);
}

static bool check_query_walker(Node *node, GateContext *context);

/*
 * Checks the query of an ordinary view, which takes the view's place.
 */
static void
check_view(Oid relid)
{
	Relation view = table_open(relid, AccessShareLock);
	Query *query = copyObject(get_view_query(view));

	table_close(view, NoLock);
	check_query_walker((Node *) query, &(GateContext){0});
	derive_gate_check_expressions(query, NULL);
}

/*
 * Checks the statement, the clauses and the tables of a query and all below it.
 */
static bool
check_query_walker(Node *node, GateContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query *query = (Query *) node;

		check_statement(query, context->source_text);
		check_clauses(query, context->exists, context->source_text);
		context->exists = false;
		context->queries = lcons(query, context->queries);
		query_tree_walker(query, check_query_walker, context, 0);
		context->queries = list_delete_first(context->queries);
		return false;
	}
	if (IsA(node, RangeTblRef))
	{
		Query *query = (Query *) linitial(context->queries);
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable);

		if (rte->rtekind == RTE_RELATION)
			check_relation(rte, context->source_text);
		if (rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_VIEW)
			check_view(rte->relid);
	}
	if (IsA(node, SubLink))
		context->exists = ((SubLink *) node)->subLinkType == EXISTS_SUBLINK;
	return expression_tree_walker(node, check_query_walker, context);
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
	GateContext context = {NIL, source_text, NULL};

	check_query_walker((Node *) query, &context);
	check_output_columns(query, source_text);
}

/*
 * Checks a reference: none to the row of a join as a whole, for what it consists of would take
 * its place, and be compared in another way.
 */
static void
check_whole_row(Var *var, GateContext *context)
{
	Query *query = list_nth_node(Query, context->queries, var->varlevelsup);

	if (var->varattno == InvalidAttrNumber &&
		rt_fetch(var->varno, query->rtable)->rtekind == RTE_JOIN)
		derive_gate_refuse(
			context->source_text, var->location, "rows of a join",
			"The query refers to a join by its name.",
			"Refer to columns, or name a subquery: FROM (SELECT ...) AS name.");
}

/*
 * Checks a reference to a column of a table (a ColumnVisitor).
 */
static void
check_column(RangeTblEntry *rte, AttrNumber attno, Var *var, void *arg)
{
	GateContext *context = (GateContext *) arg;
	HeapTuple tuple;
	char generated;
	char *name;

	if (attno == InvalidAttrNumber)
		return;

	name = get_attname(rte->relid, attno, false);
	if (attno < 0)
		derive_gate_refuse(context->source_text, var->location, "system columns",
						   psprintf("\"%s\" is a system column.", name),
						   "Use the table's own columns.");
	if (strcmp(name, DERIVE_SIGN_COLUMN) == 0)
		derive_gate_refuse(context->source_text, var->location,
						   "source columns with a reserved name",
						   psprintf("Column name \"%s\" is reserved.", name),
						   "Rename the table's column.");

	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(rte->relid), Int16GetDatum(attno));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u", attno,
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
 * True if the result of one of core's aggregates depends on the order of its input,
 * where that is more than a matter of rounding.
 */
static bool
depends_on_order(Oid function)
{
	static const char *const names[] = {
		"any_value",
		"array_agg",
		"json_agg",
		"json_agg_strict",
		"json_object_agg",
		"json_object_agg_strict",
		"json_object_agg_unique",
		"json_object_agg_unique_strict",
		"jsonb_agg",
		"jsonb_agg_strict",
		"jsonb_object_agg",
		"jsonb_object_agg_strict",
		"jsonb_object_agg_unique",
		"jsonb_object_agg_unique_strict",
		"string_agg",
		"xmlagg",
	};
	char *name;

	if (function >= FirstGenbkiObjectId)
		return false;
	name = get_func_name(function);
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Checks an aggregate call.
 */
static void
check_aggregate(Aggref *aggref, GateContext *context)
{
	if (aggref->aggorder == NIL && aggref->aggdistinct == NIL &&
		depends_on_order(aggref->aggfnoid))
		derive_gate_refuse(
			context->source_text, aggref->location,
			psprintf("%s without ORDER BY", get_func_name(aggref->aggfnoid)),
			"Its result depends on the order of the rows, which is not "
			"determined.",
			"Add ORDER BY inside the aggregate.");
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
 * Refuses an aggregate of a user's that is made of functions which are not immutable: its
 * own declaration does not tell.
 */
static void
check_aggregate_parts(Oid aggregate, int location, GateContext *context)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
	Form_pg_aggregate form;
	Oid parts[4];

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	parts[0] = form->aggtransfn;
	parts[1] = form->aggfinalfn;
	parts[2] = form->aggmtransfn;
	parts[3] = form->aggmfinalfn;
	ReleaseSysCache(tuple);
	for (int i = 0; i < lengthof(parts); i++)
	{
		if (OidIsValid(parts[i]) && func_volatile(parts[i]) != PROVOLATILE_IMMUTABLE)
			derive_gate_refuse(context->source_text, location,
							   "aggregates made of functions that are not immutable",
							   psprintf("Aggregate %s calls %s.",
										format_procedure(aggregate),
										format_procedure(parts[i])),
							   "Declare the function IMMUTABLE, if it is.");
	}
}

/*
 * True if values of a type become XML by way of settings: TimeZone, xmlbinary, or whatever
 * their output function looks at.  Dates and the like do not, they are written as XML
 * Schema says.
 */
static bool
xml_depends_on_settings(Oid type)
{
	Oid element = get_element_type(getBaseType(type));
	Oid output;
	bool varlena;

	if (OidIsValid(element))
		return xml_depends_on_settings(element);
	type = getBaseType(type);
	if (type == TIMESTAMPTZOID || type == BYTEAOID)
		return true;
	if (type == DATEOID || type == TIMESTAMPOID || get_typtype(type) == TYPTYPE_ENUM)
		return false;
	getTypeOutputInfo(type, &output, &varlena);
	return func_volatile(output) != PROVOLATILE_IMMUTABLE;
}

/*
 * Refuses XML of values whose text depends on settings: no function is called of which that
 * could be seen.
 */
static void
check_xml(XmlExpr *xml, GateContext *context)
{
	List *values = list_concat_copy(xml->named_args, xml->args);
	ListCell *lc;

	if (xml->op != IS_XMLELEMENT && xml->op != IS_XMLFOREST)
		return;
	foreach (lc, values)
	{
		Oid type = exprType(lfirst(lc));

		if (xml_depends_on_settings(type))
			derive_gate_refuse(context->source_text, exprLocation(lfirst(lc)),
							   "XML of values whose text depends on settings",
							   psprintf("A value of type %s is written as the "
										"session's settings say.",
										format_type_be(type)),
							   "Convert it to text by an immutable function, or compute "
							   "it when reading the derived view.");
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
 * Checks a node of an expression and all below it; never returns true.
 */
static bool
check_expression_walker(Node *node, GateContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		context->queries = lcons(node, context->queries);
		query_tree_walker((Query *) node, check_expression_walker, context,
						  QTW_IGNORE_JOINALIASES);
		context->queries = list_delete_first(context->queries);
		return false;
	}

	{
		Refusal refusals[] = {
			{IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN,
			 exprLocation(node), "parameters", "Write the value."},
			{IsA(node, NextValueExpr), -1, "volatile functions", hint_column},
			{IsA(node, SQLValueFunction), exprLocation(node),
			 IsA(node, SQLValueFunction) ? sql_value_name((SQLValueFunction *) node)
										 : NULL,
			 hint_column},
		};

		refuse_any(context->source_text, refusals, lengthof(refusals));
	}

	if (IsA(node, Var))
	{
		check_whole_row((Var *) node, context);
		derive_sources_visit_var(context->queries, (Var *) node, check_column, context);
	}
	if (IsA(node, Aggref))
		check_aggregate((Aggref *) node, context);
	if (IsA(node, Aggref) && ((Aggref *) node)->aggfnoid >= FirstGenbkiObjectId)
		check_aggregate_parts(((Aggref *) node)->aggfnoid, exprLocation(node), context);
	if (IsA(node, WindowFunc) && ((WindowFunc *) node)->winfnoid >= FirstGenbkiObjectId)
		check_aggregate_parts(((WindowFunc *) node)->winfnoid, exprLocation(node),
							  context);
	if (IsA(node, XmlExpr))
		check_xml((XmlExpr *) node, context);
	context->node = node;
	if (!derive_json_is_fixed(node))
		check_functions_in_node(node, check_function, context);

	return expression_tree_walker(node, check_expression_walker, context);
}

/*
 * Checks the expressions of a query, see gate.h.  Core's own test comes last, for
 * nodes of later versions that depend on settings in ways of their own.
 */
void
derive_gate_check_expressions(Query *query, const char *source_text)
{
	GateContext context = {NIL, source_text, NULL};

	check_expression_walker((Node *) query, &context);
	if (contain_mutable_functions(derive_json_blank((Node *) query)))
		derive_gate_refuse(source_text, -1, "expressions that depend on settings", NULL,
						   hint_column);
}
