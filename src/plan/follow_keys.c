/*-------------------------------------------------------------------------
 *
 * follow_keys.c
 *	  Stages that follow the keys of changed rows instead of the rows.
 *
 * A table that does not log its old rows in full logs at least the columns of its
 * replica identity.  That is enough for a stage that reads one such table and shows these
 * columns, call them K, if its stored rows tell what the old ones were.
 *
 * Filters and projections.  K splits table and view into parts that do not depend on each
 * other, as kappa does in keys.c:
 *
 *	1. the parts that may have changed are K of all rows that were changed, as they
 *	   were before and as they are since;
 *	2. their new content is the block, restricted to these values of K, at the
 *	   tick's snapshot;
 *	3. their old content is the stored rows with these values of K.
 *
 * A part of any other value has the same rows of the table before and after.
 *
 * Windows and DISTINCT ON have parts of their own, by kappa.  Those that may have changed
 * are kappa of the region's rows with these values of K, and kappa of the stored rows with
 * them.  Windows keep all rows of the region, so a row that leaves a part is stored there.
 * Of DISTINCT ON it may not be; but then another one stands for the part, and that it is
 * the first one is still true without the row that leaves.
 *
 * All this holds for whatever columns K, whether or not they identify a row, and by
 * whatever order the changes of one row came: so neither a key that is no key any more, nor
 * values that are equal and look different, make it wrong.  Nothing but K need be known of
 * a change.  Because the new content is read, values out of line that were not logged do no
 * harm.  NULL in K does not come: the decoder says that such a change is lost.
 *
 * Of an existing view the catalog says so (source_key): a plan must not depend on what
 * identity the table has at the moment.  Where it is one that does not hold K, the
 * decoder says that changes are lost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "plan/fold.h"
#include "plan/follow_keys.h"
#include "plan/region.h"
#include "plan/sql.h"

/*
 * True if a plan is one that can follow keys.
 */
static bool
reads_one_table(ViewPlan *plan)
{
	Region *region = plan->stage->region;

	return (plan->stage->kind == STAGE_LINEAR || plan->stage->kind == STAGE_KEYS) &&
		   region != NULL && region->noccurrences == 1 &&
		   region->occurrences[0].source == 0 &&
		   !expression_returns_set((Node *) region->columns);
}

/*
 * Returns the output columns that are columns of the region's tables, as the region's.
 */
static List *
shown_columns(Stage *stage)
{
	List *outputs = stage->kind == STAGE_KEYS ? stage->block->targetList
											  : stage->region->columns;
	List *columns = NIL;
	ListCell *lc;

	foreach (lc, outputs)
	{
		TargetEntry *output = lfirst_node(TargetEntry, lc);

		if (output->resjunk || !IsA(output->expr, Var))
			continue;
		columns = lappend(columns,
						  stage->kind == STAGE_KEYS
							  ? derive_region_adopt(stage->region, (Node *) output)
							  : (Node *) output);
	}
	return columns;
}

/*
 * Returns the output attnos of some columns, see plan.h.
 */
List *
derive_plan_key_columns(ViewPlan *plan, Bitmapset *attnums)
{
	List *columns = NIL;
	ListCell *lc;

	if (!reads_one_table(plan))
		return NIL;
	for (int attnum = -1; (attnum = bms_next_member(attnums, attnum)) >= 0;)
	{
		int shown = 0;

		foreach (lc, shown_columns(plan->stage))
			if (shown == 0 &&
				castNode(Var, lfirst_node(TargetEntry, lc)->expr)->varattno == attnum)
				shown = lfirst_node(TargetEntry, lc)->resno;
		if (shown == 0)
			return NIL;
		columns = lappend_int(columns, shown);
	}
	return columns;
}

/*
 * Describes the key that output columns show; NULL if one shows no column of the table.
 */
static FollowedKey *
make_key(Stage *stage, List *columns)
{
	FollowedKey *key = palloc0_object(FollowedKey);
	List *shown = shown_columns(stage);
	char *why;
	ListCell *lc, *ls;

	key->lookup = list_copy(columns);
	key->keys = palloc0_array(FoldKey, list_length(columns));
	foreach (lc, columns)
		foreach (ls, shown)
		{
			TargetEntry *column = lfirst_node(TargetEntry, ls);
			FoldKey *one = &key->keys[key->nkeys];

			if (column->resno != lfirst_int(lc) ||
				!derive_fold_make_key(one, (Node *) column->expr, key->nkeys + 1, &why))
				continue;
			key->nkeys++;
			key->columns = lappend(
				key->columns,
				makeTargetEntry(copyObject(column->expr), key->nkeys, one->name, false));
		}
	return key->nkeys == list_length(columns) ? key : NULL;
}

/*
 * Makes the stage that splits a block by the key itself.
 */
static Stage *
make_stage_of_rows(Region *region, FollowedKey *key)
{
	Stage *stage = palloc0_object(Stage);

	stage->kind = STAGE_KEYS;
	stage->rule = RULE_AFFECTED_KEYS;
	stage->why = pstrdup("old rows need not be logged: changed rows are found by their "
						 "key and compared with what is stored of them");
	stage->region = region;
	stage->block = copyObject(region->query);
	stage->nkeys = key->nkeys;
	stage->keys = key->keys;
	stage->lookup = key->lookup;
	region->columns = copyObject(key->columns);
	return stage;
}

/*
 * Makes a plan follow keys, see plan.h.
 */
void
derive_plan_follow_keys(ViewPlan *plan, List *columns)
{
	FollowedKey *key;
	PlanSource *source;
	ListCell *lc;

	if (columns == NIL || !reads_one_table(plan))
		return;
	key = make_key(plan->stage, columns);
	if (key == NULL)
		return;
	source = linitial(plan->sources);
	source->keys_only = true;
	source->columns = NULL;
	foreach (lc, key->columns)
		source->columns = bms_add_member(
			source->columns, castNode(Var, lfirst_node(TargetEntry, lc)->expr)->varattno);
	if (plan->stage->kind == STAGE_LINEAR)
		plan->stage = make_stage_of_rows(plan->stage->region, key);
	else
		plan->stage->why = psprintf(
			"%s; old rows need not be logged: the parts that they "
			"leave are found by their key",
			plan->stage->why);
	plan->stage->followed = key;
	plan->rule = plan->stage->rule;
}

/*
 * Returns the query for the followed keys k1 .. kn in the delta.
 */
static char *
changed_keys_sql(ViewPlan *plan)
{
	PlanSource *source = linitial(plan->sources);
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	foreach (lc, plan->stage->followed->columns)
	{
		TargetEntry *key = lfirst_node(TargetEntry, lc);

		appendStringInfo(&sql, "%sr.%s AS %s", key->resno > 1 ? ", " : "",
						 quote_identifier(get_attname(
							 source->relid, castNode(Var, key->expr)->varattno, false)),
						 key->resname);
	}
	appendStringInfo(&sql, " FROM %s r", quote_identifier(source->delta_name));
	return sql.data;
}

/*
 * Returns the query for the stage's keys in the region's rows that have a key of "touched".
 */
static char *
keys_of_new_sql(Stage *stage, bool pretty)
{
	FollowedKey *key = stage->followed;
	Region region = *stage->region;
	StringInfoData sql;

	region.columns = list_concat(copyObject(key->columns),
								 copyObject(stage->region->columns));
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 1; i <= stage->nkeys; i++)
		appendStringInfo(&sql, "%sq.c%d AS k%d", i > 1 ? ", " : "", key->nkeys + i, i);
	appendStringInfo(
		&sql, "\nFROM (\n%s\n) q(",
		derive_query_deparse(
			derive_region_select_keys(&region, key->nkeys, key->keys, NULL), pretty));
	for (int i = 1; i <= key->nkeys + stage->nkeys; i++)
		appendStringInfo(&sql, "%sc%d", i > 1 ? ", " : "", i);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Returns the query for the stage's keys in the stored rows that have a key of "touched".
 */
static char *
keys_of_stored_sql(ViewPlan *plan)
{
	Stage *stage = plan->stage;
	FollowedKey *key = stage->followed;
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	foreach (lc, stage->lookup)
		appendStringInfo(&sql, "%ss.%s AS k%d", foreach_current_index(lc) > 0 ? ", " : "",
						 derive_sql_view_column(plan, lfirst_int(lc)),
						 foreach_current_index(lc) + 1);
	appendStringInfo(&sql, " FROM touched t, ONLY %s s",
					 OidIsValid(plan->view) ? derive_relation_name(plan->view)
											: "stored");
	foreach (lc, key->lookup)
	{
		int i = foreach_current_index(lc);
		char *column = psprintf("s.%s", derive_sql_view_column(plan, lfirst_int(lc)));

		appendStringInfo(
			&sql, "%s%s", i > 0 ? " AND " : " WHERE ",
			derive_sql_equality(key->keys[i].eq_op, column, psprintf("t.k%d", i + 1)));
	}
	return sql.data;
}

/*
 * Returns the query for the stage's keys that a delta touches, in two parts, see
 * follow_keys.h.
 */
void
derive_followed_keys_sql(ViewPlan *plan, bool pretty, char **with, char **terms)
{
	*with = pstrdup("");
	*terms = changed_keys_sql(plan);
	if (plan->stage->lookup == plan->stage->followed->lookup)
		return;
	*with = psprintf("WITH touched AS (%s)\n", *terms);
	*terms = psprintf("%s\nUNION ALL\n%s", keys_of_new_sql(plan->stage, pretty),
					  keys_of_stored_sql(plan));
}
