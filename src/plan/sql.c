/*-------------------------------------------------------------------------
 *
 * sql.c
 *	  The SQL of a plan: deltas, contents, touched groups, output, comparison.
 *
 * The delta of a region comes from algebra.c; what surrounds deparsed text is put
 * together as text here, from names of our own only.  All text is to be run with
 * search_path "pg_catalog, pg_temp".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "change/layout.h"
#include "plan/algebra.h"
#include "plan/follow_keys.h"
#include "plan/keys.h"
#include "plan/recursion.h"
#include "plan/region.h"
#include "plan/sql.h"

/*
 * Appends "prefix1, prefix2, ... prefixN" to a list that already has an item if
 * separator says so.
 */
static void
append_numbered(StringInfo sql, const char *prefix, int n, const char *separator)
{
	for (int i = 1; i <= n; i++)
	{
		appendStringInfo(sql, "%s%s%d", separator, prefix, i);
		separator = ", ";
	}
}

/*
 * Appends the select list, FROM and so on of a consolidation: rows of "d", which has
 * __sign, image and nkeys keys named k1 ..., are summed up by image.
 */
static void
append_consolidation(StringInfo sql, int nkeys, const char *from)
{
	appendStringInfoString(sql, "SELECT pg_catalog.sum(d.\"" DERIVE_SIGN_COLUMN
								"\") AS count, d.image");
	append_numbered(sql, "d.k", nkeys, ", ");
	appendStringInfo(sql, "\nFROM (%s) d\nGROUP BY d.image", from);
	append_numbered(sql, "d.k", nkeys, ", ");
	appendStringInfoString(sql, "\nHAVING pg_catalog.sum(d.\"" DERIVE_SIGN_COLUMN
								"\") <> 0\nORDER BY ");
	append_numbered(sql, "d.k", nkeys, "");
	appendStringInfo(sql, "%s1", nkeys > 0 ? ", " : "");
}

/*
 * Appends "SELECT sign, image AS image, columns AS k1, ..." for a row "r" whose
 * columns have the given quoted names; key: positions of key columns, from 1.
 */
static void
append_image_select(StringInfo sql, const char *sign, List *names, List *key)
{
	const char *separator = "";
	int number = 1;
	ListCell *lc;

	appendStringInfo(
		sql, "SELECT %s AS \"" DERIVE_SIGN_COLUMN "\", derive_state.row_image(ROW(",
		sign);
	foreach (lc, names)
	{
		appendStringInfo(sql, "%sr.%s", separator, (char *) lfirst(lc));
		separator = ", ";
	}
	appendStringInfoString(sql, ")) AS image");
	foreach (lc, key)
		appendStringInfo(sql, ", r.%s AS k%d",
						 (char *) list_nth(names, lfirst_int(lc) - 1), number++);
}

/*
 * Returns quoted names c1 .. cn.
 */
static List *
numbered_names(int n)
{
	List *names = NIL;

	for (int i = 1; i <= n; i++)
		names = lappend(names, psprintf("c%d", i));
	return names;
}

/*
 * Returns the number of columns of a stage whose delta is made of signed rows.
 */
static int
count_columns(Stage *stage)
{
	if (stage->kind == STAGE_RECURSION)
		return derive_recursion_ncolumns(stage);
	return list_length(
		(stage->region ? stage->region : (Region *) linitial(stage->branches))->columns);
}

/*
 * Returns the delta query of a linear stage, or a recursive one.
 */
static char *
linear_delta_sql(ViewPlan *plan, const char *with, const char *terms)
{
	int ncolumns = count_columns(plan->stage);
	StringInfoData sql;
	StringInfoData images;

	initStringInfo(&images);
	append_image_select(&images, "r.\"" DERIVE_SIGN_COLUMN "\"", numbered_names(ncolumns),
						plan->key);
	appendStringInfo(&images, "\nFROM (\n%s\n) r(\"" DERIVE_SIGN_COLUMN "\"", terms);
	append_numbered(&images, "c", ncolumns, ", ");
	appendStringInfoChar(&images, ')');

	initStringInfo(&sql);
	appendStringInfoString(&sql, with);
	append_consolidation(&sql, list_length(plan->key), images.data);
	return sql.data;
}

/*
 * Appends the columns of a fold's delta query for one state column.
 */
static void
append_delta_columns(StringInfo sql, FoldColumn *column)
{
	const char *plus = "FILTER (WHERE d.\"" DERIVE_SIGN_COLUMN "\" > 0)";
	const char *minus = "FILTER (WHERE d.\"" DERIVE_SIGN_COLUMN "\" < 0)";
	const char *function = "sum";
	int input = column->input + 1;

	switch (column->kind)
	{
		case FOLD_VALUE:
			return;
		case FOLD_COUNT:
			appendStringInfo(sql,
							 ",\nCOALESCE(pg_catalog.sum(d.\"" DERIVE_SIGN_COLUMN "\") "
							 "FILTER (WHERE d.a%d IS DISTINCT FROM NULL), 0) AS %s",
							 input, column->name);
			return;
		case FOLD_MIN:
			function = "min";
			break;
		case FOLD_MAX:
			function = "max";
			break;
		case FOLD_SUM:
			break;
	}

	appendStringInfo(sql,
					 ",\npg_catalog.%s(d.a%d) %s AS %s_plus,\n"
					 "pg_catalog.%s(d.a%d) %s AS %s_minus",
					 function, input, plus, column->name, function, input, minus,
					 column->name);
	if (column->scale_guard)
		appendStringInfo(sql, ",\npg_catalog.max(pg_catalog.scale(d.a%d)) %s AS %s_scale",
						 input, minus, column->name);
}

/*
 * Returns the delta query of an aggregate stage.
 */
static char *
fold_delta_sql(Stage *stage, const char *with, const char *terms)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%sSELECT ", with);
	append_numbered(&sql, "d.k", stage->nkeys, "");
	appendStringInfo(&sql,
					 "%sCOALESCE(pg_catalog.sum(d.\"" DERIVE_SIGN_COLUMN "\"), 0) AS n",
					 stage->nkeys > 0 ? ", " : "");
	for (int i = 0; i < stage->ncolumns; i++)
		append_delta_columns(&sql, &stage->columns[i]);
	appendStringInfo(&sql, "\nFROM (\n%s\n) d", terms);
	append_numbered(&sql, "d.k", stage->nkeys, "\nGROUP BY ");
	return sql.data;
}

/*
 * True if a region reads a changed source, see sql.h.
 */
bool
derive_sql_reads(Region *region, Bitmapset *changed)
{
	for (int i = 0; i < region->noccurrences; i++)
	{
		int source = region->occurrences[i].source;

		if (source >= 0 && bms_is_member(source, changed))
			return true;
	}
	return false;
}

/*
 * Makes the delta of a UNION ALL, as derive_algebra_delta does.
 */
static void
union_terms(ViewPlan *plan, Bitmapset *changed, bool pretty, char **with, char **terms)
{
	List *ctes = NIL;
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, plan->stage->branches)
	{
		char *branch;

		if (!derive_sql_reads(lfirst(lc), changed))
			continue;
		ctes = derive_algebra_collect(ctes, lfirst(lc), plan->sources, changed, pretty,
									  &branch);
		appendStringInfo(&sql, "%s%s", sql.len > 0 ? "\nUNION ALL\n" : "", branch);
	}
	*with = derive_algebra_with(ctes);
	*terms = sql.data;
}

/*
 * Returns the delta query for the changed sources, laid out for reading or not.
 */
char *
derive_sql_delta(ViewPlan *plan, Bitmapset *changed, bool pretty)
{
	char *with;
	char *terms;

	if (plan->stage->kind == STAGE_RECURSION)
		derive_recursion_delta(plan, changed, pretty, &with, &terms);
	else if (plan->stage->followed != NULL)
		derive_followed_keys_sql(plan, pretty, &with, &terms);
	else if (plan->stage->branches != NIL)
		union_terms(plan, changed, pretty, &with, &terms);
	else
		derive_algebra_delta(plan->stage->region, plan->sources, changed, pretty, &with,
							 &terms);
	switch (plan->stage->kind)
	{
		case STAGE_FOLD:
			return fold_delta_sql(plan->stage, with, terms);
		case STAGE_KEYS:
			return derive_keys_delta_sql(plan->stage, with, terms);
		case STAGE_LINEAR:
		case STAGE_FIRST:
		case STAGE_RECURSION:
		case STAGE_RECOMPUTE:
			break;
	}
	return linear_delta_sql(plan, with, terms);
}

/*
 * Returns the delta query, see plan.h.
 */
char *
derive_plan_delta_sql(ViewPlan *plan, Bitmapset *changed)
{
	return derive_sql_delta(plan, changed, false);
}

/*
 * Makes the subquery "d" for a region's rows.
 */
static RangeTblEntry *
make_rows_rte(Query *rows)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List *names = NIL;
	ListCell *lc;

	foreach (lc, rows->targetList)
		names = lappend(names, makeString(lfirst_node(TargetEntry, lc)->resname));
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = rows;
	rte->alias = makeAlias("d", NIL);
	rte->eref = makeAlias("d", names);
	rte->inFromCl = true;
	return rte;
}

/*
 * Makes the call count(*).
 */
static Expr *
make_row_count(void)
{
	Aggref *count = makeNode(Aggref);

	count->aggfnoid = F_COUNT_;
	count->aggtype = INT8OID;
	count->aggstar = true;
	count->aggkind = AGGKIND_NORMAL;
	count->aggsplit = AGGSPLIT_SIMPLE;
	count->location = -1;
	return (Expr *) count;
}

/*
 * Adds a column to a query's target list, and returns it.
 */
static TargetEntry *
add_column(Query *query, Expr *expression, char *name)
{
	TargetEntry *column = makeTargetEntry(expression, list_length(query->targetList) + 1,
										  name, false);

	query->targetList = lappend(query->targetList, column);
	return column;
}

/*
 * Returns the query for state rows out of the query for a region's rows.
 */
static char *
state_rows_sql(Stage *stage, Query *rows, bool pretty)
{
	Query *query = makeNode(Query);
	RangeTblRef *ref = makeNode(RangeTblRef);

	ref->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->hasAggs = true;
	query->rtable = list_make1(make_rows_rte(rows));
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	for (int i = 0; i < stage->nkeys; i++)
	{
		FoldKey *key = &stage->keys[i];
		SortGroupClause *clause = makeNode(SortGroupClause);
		Var *var = makeVar(1, i + 1, key->type, key->typmod, key->collation, 0);

		add_column(query, (Expr *) var, key->name)->ressortgroupref = i + 1;
		clause->tleSortGroupRef = i + 1;
		clause->eqop = key->eq_op;
		query->groupClause = lappend(query->groupClause, clause);
	}
	add_column(query, make_row_count(), "n");
	for (int i = 0; i < stage->ncolumns; i++)
		add_column(query, (Expr *) copyObject(stage->columns[i].call),
				   stage->columns[i].name);
	return derive_query_deparse(query, pretty);
}

/*
 * Returns the text of a query without what only orders its rows.
 */
static char *
query_rows_sql(Query *query)
{
	Query *copy = copyObject(query);

	if (!copy->hasDistinctOn && copy->limitCount == NULL && copy->limitOffset == NULL)
		copy->sortClause = NIL;
	return derive_query_deparse(copy, false);
}

/*
 * Returns the query for a stage's content, see plan.h.
 */
char *
derive_plan_full_sql(ViewPlan *plan)
{
	Stage *stage = plan->stage;

	switch (stage->kind)
	{
		case STAGE_LINEAR:
			if (stage->branches != NIL)
				return query_rows_sql(plan->query);
			break;
		case STAGE_FOLD:
			return state_rows_sql(stage, derive_region_select(stage->region), false);
		case STAGE_KEYS:
		case STAGE_FIRST:
		case STAGE_RECURSION:
		case STAGE_RECOMPUTE:
			return query_rows_sql(plan->query);
	}
	return derive_query_deparse(derive_region_select(stage->region), false);
}

/*
 * Returns the query for touched groups, laid out for reading or not.
 */
char *
derive_sql_touched(ViewPlan *plan, Bitmapset *nulls, bool pretty)
{
	Stage *stage = plan->stage;
	Query *query = stage->nkeys == 0
					   ? derive_region_select(stage->region)
					   : derive_region_select_keys(stage->region, stage->nkeys,
												   stage->keys, nulls);

	Assert(stage->kind == STAGE_FOLD);
	return state_rows_sql(stage, query, pretty);
}

/*
 * Returns the query for touched groups, see plan.h.
 */
char *
derive_plan_touched_sql(ViewPlan *plan, Bitmapset *nulls)
{
	return derive_sql_touched(plan, nulls, false);
}

/*
 * Returns the query for the view's rows out of state rows, which a query gives.
 */
char *
derive_sql_output(ViewPlan *plan, const char *state_rows)
{
	Stage *stage = plan->stage;
	List *names = NIL;
	Query *query;

	Assert(stage->kind == STAGE_FOLD);
	for (int i = 0; i < stage->nkeys; i++)
		names = lappend(names, makeString(stage->keys[i].name));
	names = lappend(names, makeString("n"));
	for (int i = 0; i < stage->ncolumns; i++)
		names = lappend(names, makeString(stage->columns[i].name));
	query = derive_region_over_named("state", names, stage->outputs, stage->having);
	return psprintf("WITH state AS NOT MATERIALIZED (%s)\n%s", state_rows,
					derive_query_deparse(query, false));
}

/*
 * Returns the query for the view's rows out of a state table, see plan.h.
 */
char *
derive_plan_output_sql(ViewPlan *plan, const char *state_table)
{
	return derive_sql_output(plan, psprintf("TABLE %s", state_table));
}

/*
 * Returns the quoted name of a column of the view, which need not have a table yet.
 */
const char *
derive_sql_view_column(ViewPlan *plan, int attno)
{
	return quote_identifier(
		OidIsValid(plan->view)
			? get_attname(plan->view, attno, false)
			: list_nth_node(TargetEntry, plan->query->targetList, attno - 1)->resname);
}

/*
 * Returns "left operator right" with the operator's schema, palloc'd.
 */
char *
derive_sql_equality(Oid operator, const char * left, const char *right)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char *sql;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	sql = psprintf("%s OPERATOR(%s.%s) %s", left,
				   quote_identifier(get_namespace_name(form->oprnamespace)),
				   NameStr(form->oprname), right);
	ReleaseSysCache(tuple);
	return sql;
}

/*
 * Returns the query that compares new content with rows of a stored table, both given
 * as SELECTs; key: attnos of the table.
 */
static char *
comparison_sql(const char *new_sql, const char *stored_sql, Oid stored_table, List *key)
{
	Relation relation = relation_open(stored_table, AccessShareLock);
	TupleDesc desc = RelationGetDescr(relation);
	List *names = NIL;
	List *positions = NIL;
	StringInfoData rows;
	StringInfoData sql;
	ListCell *lc;

	foreach (lc, key)
	{
		int position = 0;

		for (int i = 0; i < lfirst_int(lc); i++)
			position += !TupleDescAttr(desc, i)->attisdropped;
		positions = lappend_int(positions, position);
	}
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped)
			names = lappend(names,
							pstrdup(quote_identifier(NameStr(attribute->attname))));
	}
	relation_close(relation, NoLock);

	initStringInfo(&rows);
	append_image_select(&rows, "1", numbered_names(list_length(names)), positions);
	appendStringInfo(&rows, "\nFROM (\n%s\n) r(", new_sql);
	append_numbered(&rows, "c", list_length(names), "");
	appendStringInfoString(&rows, ")\nUNION ALL\n");
	append_image_select(&rows, "-1", names, positions);
	appendStringInfo(&rows, "\nFROM (%s) r", stored_sql);

	initStringInfo(&sql);
	append_consolidation(&sql, list_length(key), rows.data);
	return sql.data;
}

/*
 * Returns the query that compares new content with a stored table, see plan.h.
 */
char *
derive_plan_diff_sql(const char *new_sql, Oid stored_table, List *key)
{
	return comparison_sql(
		new_sql, psprintf("SELECT * FROM ONLY %s", derive_relation_name(stored_table)),
		stored_table, key);
}

/*
 * Returns the query that compares touched parts with what is stored, see plan.h.
 */
char *
derive_plan_keys_sql(ViewPlan *plan, Bitmapset *nulls)
{
	return comparison_sql(derive_keys_new_sql(plan->stage, nulls, false),
						  derive_keys_stored_sql(plan, nulls), plan->view, plan->key);
}

/*
 * Returns the query of a recompute, see plan.h.
 */
char *
derive_plan_recompute_sql(ViewPlan *plan, Bitmapset *part)
{
	List *key = NIL;

	if (plan->stage->kind != STAGE_FOLD)
		return derive_plan_diff_sql(derive_plan_full_sql(plan), plan->view, plan->key);
	if (part != NULL)
		return derive_plan_diff_sql(
			derive_plan_output_sql(plan, derive_relation_name(plan->state)), plan->view,
			plan->key);
	for (int i = 1; i <= plan->stage->nkeys; i++)
		key = lappend_int(key, i);
	return derive_plan_diff_sql(derive_plan_full_sql(plan), plan->state, key);
}
