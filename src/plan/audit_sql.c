/*-------------------------------------------------------------------------
 *
 * audit_sql.c
 *	  The SQL of audits: some keys of a stage, or all of it, compared with its query.
 *
 * Whatever its rule, a stage's rows with a key are the rows of its query with that key: the
 * same condition is put on both sides, and where the planner can push it down, that
 * costs as little as the key's rows.  For a fold the state is compared with the sources,
 * and the view with what follows from the state.  A stage without a key takes all its
 * columns that can be compared for one.
 *
 * The new rows of a fold's state and of independent parts are made as maintenance
 * makes them for touched keys (fold_touched.c, keys.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "plan/audit_sql.h"
#include "plan/determined.h"
#include "plan/fold.h"
#include "plan/keys.h"
#include "plan/region.h"
#include "plan/sql.h"

/* No more differences are shown of one comparison. */
#define MAX_DIFFERENCES 20

/* ---------- keys ---------- */

/* Returns the view's columns that show a fold's keys, 0 for a key that it does not show. */
static List *
fold_key_columns(Stage *stage)
{
	List *columns = NIL;

	for (int i = 1; i <= stage->nkeys; i++)
	{
		int shown = 0;
		ListCell *lc;

		foreach (lc, stage->outputs)
		{
			TargetEntry *output = lfirst_node(TargetEntry, lc);

			if (shown == 0 && IsA(output->expr, Var) &&
				((Var *) output->expr)->varattno == i)
				shown = output->resno;
		}
		columns = lappend_int(columns, shown);
	}
	return columns;
}

/* Describes columns of the view as keys, as far as they have an order. */
static void
add_column_keys(AuditKey *key, ViewPlan *plan, List *attnos)
{
	char *why;
	ListCell *lc;

	key->keys = palloc0_array(FoldKey, list_length(attnos) + 1);
	foreach (lc, attnos)
	{
		TargetEntry *column = list_nth_node(TargetEntry, plan->query->targetList,
											lfirst_int(lc) - 1);

		if (!derive_fold_make_key(&key->keys[key->nkeys], (Node *) column->expr,
								  key->nkeys + 1, &why))
			continue;
		key->nkeys++;
		key->columns = lappend_int(key->columns, lfirst_int(lc));
	}
}

/* Returns by what a stage is audited in parts. */
AuditKey *
derive_audit_key(ViewPlan *plan)
{
	AuditKey *key = palloc0_object(AuditKey);
	Stage *stage = plan->stage;
	List *all = NIL;
	ListCell *lc;

	switch (stage->kind)
	{
		case STAGE_FOLD:
		case STAGE_KEYS:
			key->nkeys = stage->nkeys;
			key->keys = stage->keys;
			key->columns = stage->kind == STAGE_KEYS ? stage->lookup
													 : fold_key_columns(stage);
			break;
		case STAGE_LINEAR:
		case STAGE_FIRST:
		case STAGE_RECURSION:
		case STAGE_RECOMPUTE:
			foreach (lc, plan->query->targetList)
				if (!lfirst_node(TargetEntry, lc)->resjunk)
					all = lappend_int(all, lfirst_node(TargetEntry, lc)->resno);
			add_column_keys(key, plan, plan->key != NIL ? plan->key : all);
			break;
	}
	return key;
}

/* ---------- comparisons ---------- */

/* Returns the expression by which a column "r.name" is compared. */
static char *
check_expression(const char *name, Form_pg_attribute att, ColumnCheck check)
{
	switch (check)
	{
		case CHECK_IMAGE:
			break;
		case CHECK_VALUE:
			return psprintf("pg_catalog.trim_scale(r.%s)", name);
		case CHECK_NOT:
			/* an element, since a domain may allow no NULL where it is written */
			return psprintf(
				get_typtype(att->atttypid) == TYPTYPE_DOMAIN ? "(NULL::%s[])[1]"
															 : "NULL::%s",
				format_type_extended(att->atttypid, -1, FORMAT_TYPE_FORCE_QUALIFY));
	}
	return psprintf("r.%s", name);
}

/* Appends one side of a comparison: rows, which are named c1 .. cn, with a sign. */
static void
append_side(StringInfo sql, const char *sign, const char *rows, TupleDesc desc,
			const ColumnCheck *checks, List *key)
{
	const char *separator = "";
	ListCell *lc;

	appendStringInfo(sql, "SELECT %s AS sign, derive_state.row_image(ROW(", sign);
	for (int i = 0; i < desc->natts; i++)
	{
		appendStringInfo(
			sql, "%s%s", separator,
			check_expression(psprintf("c%d", i + 1), TupleDescAttr(desc, i), checks[i]));
		separator = ", ";
	}
	appendStringInfoString(sql, ")) AS image");
	foreach (lc, key)
		appendStringInfo(sql, ", r.c%d AS k%d", lfirst_int(lc),
						 foreach_current_index(lc) + 1);
	appendStringInfo(sql, " FROM (%s) r(", rows);
	for (int i = 1; i <= desc->natts; i++)
		appendStringInfo(sql, "%sc%d", i > 1 ? ", " : "", i);
	appendStringInfoChar(sql, ')');
}

/* Returns the comparison of new rows with those stored in a relation. */
static char *
comparison(Oid relid, const char *new_rows, const char *stored_rows,
		   const ColumnCheck *checks, List *key)
{
	Relation rel = relation_open(relid, AccessShareLock);
	StringInfoData sql, names;

	initStringInfo(&names);
	for (int i = 1; i <= list_length(key); i++)
		appendStringInfo(&names, ", d.k%d", i);
	initStringInfo(&sql);
	appendStringInfo(
		&sql,
		"SELECT pg_catalog.sum(d.sign), d.image, pg_catalog.%s() OVER (%s%s)\nFROM (",
		key != NIL ? "dense_rank" : "row_number", key != NIL ? "ORDER BY " : "",
		key != NIL ? names.data + 2 : "");
	append_side(&sql, "1", new_rows, RelationGetDescr(rel), checks, key);
	appendStringInfoString(&sql, "\nUNION ALL\n");
	append_side(&sql, "-1", stored_rows, RelationGetDescr(rel), checks, key);
	appendStringInfo(&sql,
					 ") d\nGROUP BY d.image%s HAVING pg_catalog.sum(d.sign) <> 0\n"
					 "ORDER BY 3, 1 LIMIT %d",
					 names.data, MAX_DIFFERENCES);
	relation_close(rel, NoLock);
	return sql.data;
}

/* Returns the attnos 1 .. n. */
static List *
numbers(int n)
{
	List *list = NIL;

	for (int i = 1; i <= n; i++)
		list = lappend_int(list, i);
	return list;
}

/* Returns "SELECT s.* FROM touched t, rows s WHERE ...", names being the keys' columns in s. */
static char *
touched_rows(const char *rows, List *names, const AuditKey *key, Bitmapset *nulls)
{
	StringInfoData sql;
	const char *and = "WHERE";
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT s.* FROM touched t, %s ", rows);
	foreach (lc, names)
	{
		int i = foreach_current_index(lc);

		if (bms_is_member(i, nulls))
			appendStringInfo(&sql, "%s s.%s IS NOT DISTINCT FROM NULL", and,
							 (char *) lfirst(lc));
		else
			appendStringInfo(&sql, "%s %s", and,
							 derive_sql_equality(key->keys[i].eq_op,
												 psprintf("s.%s", (char *) lfirst(lc)),
												 psprintf("t.k%d", i + 1)));
		and = " AND";
	}
	return sql.data;
}

/* Returns names c1 ... of columns that are given by attno. */
static List *
numbered_names(List *attnos)
{
	List *names = NIL;
	ListCell *lc;

	foreach (lc, attnos)
		names = lappend(names, psprintf("c%d", lfirst_int(lc)));
	return names;
}

/* Returns the state's rows of the touched groups. */
static char *
touched_state(ViewPlan *plan, const AuditKey *key, Bitmapset *nulls)
{
	List *names = NIL;

	for (int i = 0; i < key->nkeys; i++)
		names = lappend(names, key->keys[i].name);
	return touched_rows(psprintf("ONLY %s s", derive_relation_name(plan->state)), names,
						key, nulls);
}

/* Returns rows of the view's shape as an item of FROM: s, with columns c1 .. cn. */
static char *
rows_item(ViewPlan *plan, const char *rows)
{
	StringInfoData sql;
	int n = 0;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%s s(", rows);
	foreach (lc, plan->query->targetList)
	{
		if (lfirst_node(TargetEntry, lc)->resjunk)
			continue;
		n++;
		appendStringInfo(&sql, "%sc%d", n > 1 ? ", " : "", n);
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* Returns all rows of a relation. */
static char *
all_rows(Oid relid)
{
	return psprintf("SELECT * FROM ONLY %s", derive_relation_name(relid));
}

/* The view as a whole, see audit_sql.h. */
char *
derive_audit_whole_view_sql(ViewPlan *plan, Bitmapset *unused)
{
	ColumnCheck *checks = derive_determined_columns(plan);
	char *rows;

	if (checks == NULL)
		return NULL;
	rows = plan->stage->kind == STAGE_FOLD
			   ? derive_plan_output_sql(plan, derive_relation_name(plan->state))
			   : derive_plan_full_sql(plan);
	return comparison(plan->view, rows, all_rows(plan->view), checks, plan->key);
}

/* A fold's state as a whole, see audit_sql.h. */
char *
derive_audit_whole_state_sql(ViewPlan *plan, Bitmapset *unused)
{
	return comparison(plan->state, derive_plan_full_sql(plan), all_rows(plan->state),
					  derive_determined_state(plan), numbers(plan->stage->nkeys));
}

/* The view's rows of some keys, see audit_sql.h. */
char *
derive_audit_view_sql(ViewPlan *plan, Bitmapset *nulls)
{
	ColumnCheck *checks = derive_determined_columns(plan);
	AuditKey *key = derive_audit_key(plan);
	List *names = numbered_names(key->columns);
	char *table = psprintf("ONLY %s", derive_relation_name(plan->view));
	char *stored = touched_rows(rows_item(plan, table), names, key, nulls);
	char *rows;

	if (checks == NULL)
		return NULL;
	switch (plan->stage->kind)
	{
		case STAGE_KEYS:
			rows = derive_keys_new_sql(plan->stage, nulls, false);
			break;
		case STAGE_FOLD:
			if (list_member_int(key->columns, 0))
				return NULL;
			rows = derive_sql_output(plan, touched_state(plan, key, nulls));
			break;
		default:
			rows = psprintf("(%s)", derive_plan_full_sql(plan));
			rows = touched_rows(rows_item(plan, rows), names, key, nulls);
	}
	return comparison(plan->view, rows, stored, checks, plan->key);
}

/* A fold's state of some groups, see audit_sql.h. */
char *
derive_audit_state_sql(ViewPlan *plan, Bitmapset *nulls)
{
	AuditKey *key = derive_audit_key(plan);

	return comparison(plan->state, derive_plan_touched_sql(plan, nulls),
					  touched_state(plan, key, nulls), derive_determined_state(plan),
					  numbers(key->nkeys));
}
