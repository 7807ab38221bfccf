/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  A plan as lines for readers.
 *
 * The SQL shown is the SQL that runs, but for its line breaks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "plan/fold.h"
#include "plan/keys.h"
#include "plan/region.h"
#include "plan/sql.h"

/*
 * Adds the lines of a text to a list, each indented.
 */
static List *
add_text(List *lines, int indent, const char *text)
{
	while (text != NULL)
	{
		const char *end = strchr(text, '\n');
		int length = end ? end - text : strlen(text);

		lines = lappend(lines, psprintf("%*s%.*s", indent, "", length, text));
		text = end ? end + 1 : NULL;
	}
	return lines;
}

/*
 * Returns the names of a region's sources, as often as they occur.
 */
static char *
source_names(Region *region)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < region->noccurrences; i++)
	{
		Occurrence *occurrence = &region->occurrences[i];

		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 occurrence->source >= 0
							 ? derive_relation_name(occurrence->rte->relid)
							 : quote_identifier(occurrence->alias));
	}
	return names.data;
}

/*
 * Returns the names of the view's columns in a list of output attnos.
 */
static char *
column_names(ViewPlan *plan, List *attnos)
{
	StringInfoData names;
	ListCell *lc;

	initStringInfo(&names);
	foreach (lc, attnos)
	{
		TargetEntry *column = list_nth_node(TargetEntry, plan->query->targetList,
											lfirst_int(lc) - 1);

		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 quote_identifier(column->resname));
	}
	return names.data;
}

/*
 * Returns what explain says about how the view's rows are found.
 */
static char *
describe_key(ViewPlan *plan)
{
	if (plan->single_row)
		return pstrdup("one row");
	if (plan->key == NIL)
		return pstrdup("none: rows are found by their hash, duplicates are kept");
	return psprintf("(%s)", column_names(plan, plan->key));
}

/*
 * Returns the name of a rule.
 */
static const char *
rule_name(StageRule rule)
{
	switch (rule)
	{
		case RULE_ALGEBRA:
			return "algebra";
		case RULE_AFFECTED_KEYS:
			return "affected keys";
		case RULE_RECURSION:
			return "recursion";
		case RULE_RECOMPUTE:
			break;
	}
	return "recompute and diff";
}

/*
 * Returns what a stage is.
 */
static char *
describe_stage(ViewPlan *plan)
{
	Stage *stage = plan->stage;
	StringInfoData names;
	const char *what = "";

	if (stage->region != NULL)
	{
		if (stage->kind == STAGE_FOLD)
			what = "aggregate over ";
		if (stage->kind == STAGE_KEYS && stage->block->hasDistinctOn)
			what = "DISTINCT ON over ";
		else if (stage->kind == STAGE_KEYS && stage->block->hasWindowFuncs)
			what = "window functions over ";
		else if (stage->kind == STAGE_FIRST)
			what = "first ";
		return psprintf("%s%s of %s", what,
						stage->region->noccurrences > 1 ? "join" : "rows",
						source_names(stage->region));
	}

	initStringInfo(&names);
	for (int i = 0; i < list_length(plan->sources); i++)
		appendStringInfo(
			&names, "%s%s", i > 0 ? ", " : "",
			derive_relation_name(((PlanSource *) list_nth(plan->sources, i))->relid));
	return psprintf("%s %s",
					stage->branches != NIL			 ? "UNION ALL over"
					: stage->kind == STAGE_RECURSION ? "recursive query over"
													 : "query over",
					names.data);
}

/*
 * Adds the SQL of the deltas to the lines.
 */
static List *
add_deltas(List *lines, ViewPlan *plan)
{
	for (int i = 0; derive_plan_reads_deltas(plan) && i < list_length(plan->sources); i++)
	{
		PlanSource *source = list_nth(plan->sources, i);

		lines = add_text(
			lines, 2,
			psprintf(plan->stage->kind == STAGE_KEYS ? "keys touched by a delta of %s:"
					 : plan->stage->kind == STAGE_RECURSION ? "rows that arrive in %s:"
															: "delta of %s:",
					 derive_relation_name(source->relid)));
		lines = add_text(lines, 4, derive_sql_delta(plan, bms_make_singleton(i), true));
	}
	return lines;
}

/*
 * Adds the SQL of what is computed again for touched keys to the lines.
 */
static List *
add_touched(List *lines, ViewPlan *plan)
{
	Stage *stage = plan->stage;

	if (stage->kind == STAGE_FOLD && derive_fold_may_recompute(stage))
	{
		lines = add_text(lines, 2,
						 pstrdup("groups computed again (keys in \"touched\"):"));
		lines = add_text(lines, 4, derive_sql_touched(plan, NULL, true));
	}
	if (stage->kind == STAGE_KEYS)
	{
		bool rows = !stage->block->hasWindowFuncs && !stage->block->hasDistinctOn;

		lines = add_text(lines, 2,
						 psprintf("%s computed again, compared with the stored rows "
								  "by (%s) (keys in \"touched\"):",
								  rows ? "rows" : "parts",
								  column_names(plan, stage->lookup)));
		lines = add_text(lines, 4, derive_keys_new_sql(stage, NULL, true));
	}
	if (stage->kind == STAGE_FIRST)
	{
		lines = add_text(lines, 2,
						 pstrdup("rows read again, compared with all that are stored:"));
		lines = add_text(lines, 4, derive_query_deparse(copyObject(plan->query), true));
	}
	return lines;
}

/*
 * Returns the lines of derive.explain, see plan.h.
 */
List *
derive_plan_explain(ViewPlan *plan, int number, const char *relation)
{
	List *lines = NIL;
	List *indexes = NIL;
	Stage *stage = plan->stage;
	ListCell *lc;

	lines = add_text(lines, 0,
					 psprintf("stage %d%s%s: %s", number, relation != NULL ? ", " : "",
							  relation != NULL ? relation : "", describe_stage(plan)));
	lines = add_text(lines, 2,
					 psprintf("rule: %s: %s", rule_name(stage->rule), stage->why));
	lines = add_text(lines, 2, psprintf("key: %s", describe_key(plan)));
	if (stage->kind == STAGE_RECOMPUTE)
		return lines;

	indexes = derive_plan_missing_indexes(plan);
	lines = add_touched(add_deltas(lines, plan), plan);
	if (indexes != NIL)
		lines = add_text(lines, 2,
						 pstrdup("missing indexes, without which the cost follows "
								 "the tables' size:"));
	foreach (lc, indexes)
		lines = add_text(lines, 4, psprintf("%s;", (char *) lfirst(lc)));
	return lines;
}
