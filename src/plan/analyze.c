/*-------------------------------------------------------------------------
 *
 * analyze.c
 *	  From a view's query to its plan.
 *
 * The steps: the gate, the region (what is joined and filtered), the stage on top
 * of it (none: the region is the view; else an aggregate), then what follows from
 * both: the columns that each source must deliver, the names of deltas, the key by
 * which the view's rows are found.
 *
 * A plan is made where a view is created or explained, and in the applier whenever
 * the runner of a view is made.  It depends on the catalogs (types, keys, indexes),
 * so it must be made again when a relation cache invalidation names a source.  The
 * caller holds AccessShareLock on the sources, and is the view's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "plan/fold.h"
#include "plan/gate.h"
#include "plan/indexes.h"
#include "plan/plan.h"
#include "plan/region.h"

/*
 * Replaces references to columns of joins, and of the grouping step, by what they
 * stand for, in all of a query's expressions.
 */
static void
flatten_query(Query *query)
{
	query->targetList = (List *) derive_flatten_group_vars(query,
														   (Node *) query->targetList);
	query->havingQual = derive_flatten_group_vars(query, query->havingQual);

	query->targetList = (List *) derive_flatten_join_vars(query,
														  (Node *) query->targetList);
	query->havingQual = derive_flatten_join_vars(query, query->havingQual);
	query->jointree = (FromExpr *) derive_flatten_join_vars(query,
															(Node *) query->jointree);
}

/*
 * True if one of the first n sources has this delta name.
 */
static bool
delta_name_is_taken(List *sources, int n, const char *name)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(((PlanSource *) list_nth(sources, i))->delta_name, name) == 0)
			return true;
	}
	return false;
}

/*
 * Names the deltas of all sources: "delta_<relname>", with a number where two
 * sources have the same name.
 */
static void
name_deltas(List *sources)
{
	for (int i = 0; i < list_length(sources); i++)
	{
		PlanSource *source = list_nth(sources, i);
		char *relname = get_rel_name(source->relid);
		int room = NAMEDATALEN - 1 - strlen("delta_") - strlen("_999");
		int number = 1;

		relname[pg_mbcliplen(relname, strlen(relname), room)] = '\0';
		source->delta_name = psprintf("delta_%s", relname);
		while (delta_name_is_taken(sources, i, source->delta_name))
			source->delta_name = psprintf("delta_%s_%d", relname, ++number);
	}
}

/*
 * Makes the stage of a query without aggregates, and gives the region its columns:
 * those of the view, under their names.
 */
static Stage *
make_linear_stage(Query *query, Region *region)
{
	Stage *stage = palloc0_object(Stage);
	ListCell *lc;

	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			region->columns = lappend(region->columns,
									  derive_region_adopt(region, (Node *) tle));
	}
	stage->kind = STAGE_LINEAR;
	stage->rule = RULE_ALGEBRA;
	stage->why = pstrdup(region->noccurrences > 1
							 ? "changed rows are joined with the rows that match them"
							 : "changed rows are filtered and projected");
	stage->region = region;
	return stage;
}

/*
 * Makes a plan, see plan.h.
 */
ViewPlan *
derive_plan_make(Query *query, const char *source_text)
{
	ViewPlan *plan = palloc0_object(ViewPlan);
	Query *flat = copyObject(query);
	Region *region;
	const char *obstacle;
	int location;

	derive_gate_check_query(flat, source_text);
	flatten_query(flat);
	derive_gate_check_expressions(flat, source_text);

	plan->query = copyObject(query);
	region = derive_region_make(flat, &plan->sources);
	obstacle = derive_region_obstacle(region, &location);
	if (obstacle != NULL)
		derive_gate_refuse(source_text, location, obstacle, NULL,
						   "Write the condition where the tables it mentions are named.");
	if (flat->hasAggs || flat->groupClause != NIL || flat->havingQual != NULL)
	{
		plan->stage = derive_fold_make(flat, region, source_text);
		plan->key = derive_fold_view_key(flat, plan->stage);
		plan->single_row = plan->stage->nkeys == 0;
	}
	else
	{
		plan->stage = make_linear_stage(flat, region);
		plan->key = derive_region_view_key(region);
	}
	plan->rule = plan->stage->rule;
	derive_region_note_columns(region, plan->sources);
	name_deltas(plan->sources);
	return plan;
}
