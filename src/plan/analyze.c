/*-------------------------------------------------------------------------
 *
 * analyze.c
 *	  From a view's query to its plan.
 *
 * The steps: the gate, the kind of stage, the region (what is joined and filtered),
 * the stage on top of it (none: the region is the view), then what follows from
 * both: the columns that each source must deliver, the names of deltas, the key by
 * which the view's rows are found.  A query that no better stage can take is a stage
 * that is recomputed; why is then a sentence that names the first obstacle.
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
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "plan/analyze.h"
#include "plan/classify.h"
#include "plan/first.h"
#include "plan/fold.h"
#include "plan/gate.h"
#include "plan/indexes.h"
#include "plan/keys.h"
#include "plan/plan.h"
#include "plan/recursion.h"
#include "plan/region.h"
#include "plan/sources.h"

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
 * Makes a sentence of what keeps a region from having a delta; NULL if nothing does.
 */
static char *
obstacle_sentence(const char *obstacle)
{
	return obstacle ? psprintf("%s cannot be followed change by change", obstacle) : NULL;
}

/*
 * Gives a region its columns: those of its query, under their names.
 */
static void
take_columns(Query *query, Region *region)
{
	ListCell *lc;

	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			region->columns = lappend(region->columns,
									  derive_region_adopt(region, (Node *) tle));
	}
}

/*
 * Makes the stage of a query without aggregates.
 */
static Stage *
make_linear_stage(Query *query, Region *region)
{
	Stage *stage = palloc0_object(Stage);

	take_columns(query, region);
	stage->kind = STAGE_LINEAR;
	stage->rule = RULE_ALGEBRA;
	stage->why = pstrdup(region->noccurrences > 1
							 ? "changed rows are joined with the rows that match them"
							 : "changed rows are filtered and projected");
	stage->region = region;
	return stage;
}

/*
 * Makes the stage of the first rows of a relation.
 */
static Stage *
make_first_stage(Query *query, Region *region)
{
	Stage *stage = palloc0_object(Stage);

	take_columns(query, region);
	stage->kind = STAGE_FIRST;
	stage->rule = RULE_AFFECTED_KEYS;
	stage->why = derive_first_why(query);
	stage->region = region;
	return stage;
}

/*
 * Makes the region of a branch, see analyze.h.
 */
Region *
derive_analyze_branch(ViewPlan *plan, Query *branch, const char *name, char **why)
{
	Region *region;
	int location;

	flatten_query(branch);
	region = derive_region_make(branch, &plan->sources);
	*why = obstacle_sentence(derive_region_obstacle(region, &location));
	if (*why != NULL)
		return NULL;
	region->name = name;
	take_columns(branch, region);
	return region;
}

/*
 * Makes a region of each leaf of a UNION ALL; false if one cannot be made, then *why
 * says so.
 */
static bool
add_branches(ViewPlan *plan, Query *query, Node *node, char **why)
{
	Query *leaf;
	Region *region;

	if (IsA(node, SetOperationStmt))
		return add_branches(plan, query, ((SetOperationStmt *) node)->larg, why) &&
			   add_branches(plan, query, ((SetOperationStmt *) node)->rarg, why);
	leaf = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery;
	region = derive_analyze_branch(
		plan, leaf, psprintf("b%d_", list_length(plan->stage->branches) + 1), why);
	if (region == NULL)
		return false;
	plan->stage->branches = lappend(plan->stage->branches, region);
	return true;
}

/*
 * Makes the stage of a UNION ALL.
 */
static bool
make_union_stage(ViewPlan *plan, Query *query, char **why)
{
	ListCell *lc;

	plan->stage = palloc0_object(Stage);
	plan->stage->kind = STAGE_LINEAR;
	plan->stage->rule = RULE_ALGEBRA;
	plan->stage->why = pstrdup("the changes of all branches are put together");
	if (!add_branches(plan, query, query->setOperations, why))
		return false;
	foreach (lc, plan->stage->branches)
		derive_region_note_columns(lfirst(lc), plan->sources);
	return true;
}

/*
 * Makes the stage of a query that no better one can take.
 */
static void
make_recompute_stage(ViewPlan *plan, char *why)
{
	Query *query = plan->query;
	Stage *stage = palloc0_object(Stage);

	stage->kind = STAGE_RECOMPUTE;
	stage->rule = RULE_RECOMPUTE;
	stage->why = why;
	plan->stage = stage;
	plan->key = NIL;
	plan->single_row = query->hasAggs && query->groupClause == NIL &&
					   query->groupingSets == NIL && !query->hasTargetSRFs;
	plan->sources = derive_sources_collect(query);
}

/*
 * Notes in the sources all columns that the query mentions: a stage of parts, or of first
 * rows, must learn of changes in columns that its region does not have.
 */
static void
note_query_columns(ViewPlan *plan)
{
	ListCell *lc, *ls;

	foreach (lc, derive_sources_collect(plan->query))
	{
		PlanSource *read = (PlanSource *) lfirst(lc);

		foreach (ls, plan->sources)
		{
			PlanSource *source = (PlanSource *) lfirst(ls);

			if (source->relid == read->relid && source->only == read->only)
				source->columns = bms_union(source->columns, read->columns);
		}
	}
}

/*
 * Turns SELECT DISTINCT into GROUP BY over all output columns, which gives the same rows.
 */
static void
group_distinct_rows(Query *query)
{
	if (query->distinctClause == NIL)
		return;
	query->groupClause = query->distinctClause;
	query->distinctClause = NIL;
	query->sortClause = NIL;
}

/*
 * Makes the stage of a query whose shape allows this kind.  False if something else
 * does not; then *why says what.
 */
static bool
make_stage(ViewPlan *plan, StageKind kind, Query *flat, char **why)
{
	Region *region;
	int location;

	if (kind == STAGE_RECURSION)
		return derive_recursion_make(plan, flat, why);
	if (flat->setOperations != NULL)
		return make_union_stage(plan, flat, why);
	region = derive_region_make(flat, &plan->sources);
	*why = obstacle_sentence(derive_region_obstacle(region, &location));
	if (*why != NULL)
		return false;
	switch (kind)
	{
		case STAGE_LINEAR:
			plan->stage = make_linear_stage(flat, region);
			plan->key = derive_region_view_key(region);
			break;
		case STAGE_FOLD:
			group_distinct_rows(flat);
			plan->stage = derive_fold_make(flat, region, why);
			if (plan->stage == NULL)
				return false;
			plan->key = derive_fold_view_key(flat, plan->stage);
			plan->single_row = plan->stage->nkeys == 0;
			break;
		case STAGE_KEYS:
			plan->stage = derive_keys_make(flat, region, &plan->key, why);
			if (plan->stage == NULL)
				return false;
			break;
		case STAGE_FIRST:
			plan->stage = make_first_stage(flat, region);
			plan->key = derive_region_view_key(region);
			break;
		case STAGE_RECURSION:
		case STAGE_RECOMPUTE:
			break;
	}
	derive_region_note_columns(region, plan->sources);
	if (kind == STAGE_KEYS || kind == STAGE_FIRST)
		note_query_columns(plan);
	return true;
}

/*
 * Says whether a plan reads deltas, see plan.h.
 */
bool
derive_plan_reads_deltas(ViewPlan *plan)
{
	return plan->stage->kind != STAGE_RECOMPUTE && plan->stage->kind != STAGE_FIRST;
}

/*
 * Makes a plan, see plan.h.
 */
ViewPlan *
derive_plan_make(Query *query, const char *source_text)
{
	ViewPlan *plan = palloc0_object(ViewPlan);
	Query *flat = copyObject(query);
	char *why = NULL;
	StageKind kind;

	derive_gate_check_query(flat, source_text);
	derive_gate_check_expressions(flat, source_text);
	plan->query = copyObject(query);
	kind = derive_classify(flat, &why);
	if (kind != STAGE_RECOMPUTE)
		flatten_query(flat);
	if (kind == STAGE_RECOMPUTE || !make_stage(plan, kind, flat, &why))
		make_recompute_stage(plan, why);
	plan->rule = plan->stage->rule;
	name_deltas(plan->sources);
	return plan;
}
