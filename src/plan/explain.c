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
key_names(ViewPlan *plan)
{
	List *columns = plan->stage->kind == STAGE_FOLD ? plan->stage->outputs
													: plan->stage->region->columns;
	StringInfoData names;
	ListCell *lc;

	initStringInfo(&names);
	foreach (lc, plan->key)
		appendStringInfo(
			&names, "%s%s", names.len > 0 ? ", " : "",
			quote_identifier(
				list_nth_node(TargetEntry, columns, lfirst_int(lc) - 1)->resname));
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
	return psprintf("(%s)", key_names(plan));
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
		case RULE_RECOMPUTE:
			break;
	}
	return "recompute and diff";
}

/*
 * Returns what a stage is.
 */
static char *
describe_stage(Stage *stage)
{
	return psprintf("%s%s%s%s", stage->kind == STAGE_FOLD ? "aggregate over " : "",
					stage->region->noccurrences > 1 ? "join" : "rows",
					stage->region->noccurrences > 0 ? " of " : "",
					source_names(stage->region));
}

/*
 * Returns the lines of derive.explain, see plan.h.
 */
List *
derive_plan_explain(ViewPlan *plan)
{
	List *lines = NIL;
	List *indexes = derive_plan_missing_indexes(plan);
	Stage *stage = plan->stage;
	ListCell *lc;

	lines = add_text(lines, 0, psprintf("stage 1: %s", describe_stage(stage)));
	lines = add_text(lines, 2,
					 psprintf("rule: %s: %s", rule_name(stage->rule), stage->why));
	lines = add_text(lines, 2, psprintf("key: %s", describe_key(plan)));

	for (int i = 0; i < list_length(plan->sources); i++)
	{
		PlanSource *source = list_nth(plan->sources, i);

		lines = add_text(lines, 2,
						 psprintf("delta of %s:", derive_relation_name(source->relid)));
		lines = add_text(lines, 4, derive_sql_delta(plan, bms_make_singleton(i), true));
	}
	if (stage->kind == STAGE_FOLD && derive_fold_may_recompute(stage))
	{
		lines = add_text(lines, 2,
						 pstrdup("groups computed again (keys in \"touched\"):"));
		lines = add_text(lines, 4, derive_sql_touched(plan, NULL, true));
	}
	if (indexes != NIL)
		lines = add_text(lines, 2,
						 pstrdup("missing indexes, without which the cost follows "
								 "the tables' size:"));
	foreach (lc, indexes)
		lines = add_text(lines, 4, psprintf("%s;", (char *) lfirst(lc)));
	return lines;
}
