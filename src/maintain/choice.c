/*-------------------------------------------------------------------------
 *
 * choice.c
 *	  By delta or by recompute, decided per tick from the planner's estimates.
 *
 * A delta as large as its table, or one whose joins find no index, may cost more than
 * computing the view anew and comparing.  So before a run follows its deltas, the
 * estimated cost of the delta query is compared with that of the recompute:
 *
 *	delta		total cost of the kept plan for deltas of this magnitude, and for each row
 *				that it is expected to give the lookup of what is stored of it.
 *	recompute	total cost of the query that compares new with stored content; of a fold,
 *				that of its state and that of the view's rows out of the state.
 *
 * The writes are the same either way.  Groups and parts that the delta query only names,
 * to be computed anew, are not in its estimate: that they are all of the view is seen only
 * when they are known, and then core joins them with the region as a whole, which is the
 * recompute but for the names.
 *
 * Estimates lie with the kept plans (delta_query.c), so that a tick plans nothing; they
 * are made anew with these, when tables have grown or shrunk.  A delta cheaper than
 * CHOICE_FLOOR is followed without asking what the recompute would cost: there is little
 * to win, and estimates of small tables say little.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "base/owner.h"
#include "change/layout.h"
#include "executor/spi.h"
#include "maintain/choice.h"
#include "optimizer/plancat.h"
#include "plan/region.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* In the planner's units, of which a sequential page read is 1. */
#define CHOICE_FLOOR 5000.0
#define LOOKUP_COST 0.5 /* of a stored row that is in memory */

/* A recompute must be cheaper by this factor: estimates are what they are. */
#define CHOICE_FACTOR 1.2

/*
 * For a delta of less than this part of its sources by this one: it is mostly made of
 * index lookups, which the estimates take for reads from disk.
 */
#define SMALL_PART 0.01
#define SMALL_FACTOR 5.0

/* derive.explain shows the estimate of deltas of so many rows. */
#define EXPLAIN_ROWS 1000

/* Returns the estimated cost of following deltas, which are registered. */
static Cost
delta_cost(QueryCache *queries, const QueryKey *key)
{
	Plan *plan = derive_query_plan(queries, key);

	return plan->total_cost + plan->plan_rows * LOOKUP_COST;
}

/* Returns the estimated cost of a recompute. */
static Cost
recompute_cost(QueryCache *queries, ViewPlan *plan)
{
	QueryKey key = {.make_sql = derive_plan_recompute_sql};
	Cost cost = derive_query_plan(queries, &key)->total_cost;

	if (plan->stage->kind == STAGE_FOLD)
	{
		key.part = bms_make_singleton(0);
		cost += derive_query_plan(queries, &key)->total_cost;
	}
	return cost;
}

/* Returns the factor for a run's deltas. */
static double
choice_factor(ViewRun *run)
{
	double nrows = 0;

	for (int i = -1; (i = bms_next_member(run->delta_key.part, i)) >= 0;)
	{
		PlanSource *source = list_nth(run->plan->sources, i);
		Relation rel = table_open(source->relid, AccessShareLock);
		BlockNumber pages;
		double tuples;
		double allvisible;

		estimate_rel_size(rel, NULL, &pages, &tuples, &allvisible);
		nrows += tuples;
		table_close(rel, NoLock);
	}
	return run->delta_key.nrows < nrows * SMALL_PART ? SMALL_FACTOR : CHOICE_FACTOR;
}

/* Decides, see choice.h. */
bool
derive_choice_is_delta(ViewRun *run)
{
	Cost delta;
	Cost recompute;

	if (!derive_plan_reads_deltas(run->plan))
		return true; /* it does the same either way */
	delta = delta_cost(run->queries, &run->delta_key);
	if (delta < CHOICE_FLOOR)
		return true;
	recompute = recompute_cost(run->queries, run->plan);
	if (delta <= recompute * CHOICE_FACTOR || delta <= recompute * choice_factor(run))
		return true;
	ereport(DEBUG1, (errmsg_internal("recomputing derived view \"%s\": estimated cost "
									 "%.0f instead of %.0f",
									 get_rel_name(run->view->relid), recompute, delta)));
	return false;
}

/* Gives the planner a delta of a source that has no rows yet. */
static void
register_imagined(PlanSource *source, int64 nrows)
{
	Relation rel = table_open(source->relid, AccessShareLock);
	AttrNumber *attnums = palloc(sizeof(AttrNumber) *
								 (bms_num_members(source->columns) + 1));
	int n = 0;

	for (int attnum = -1; (attnum = bms_next_member(source->columns, attnum)) >= 0;)
		attnums[n++] = attnum;
	derive_query_register(source->delta_name,
						  derive_layout_make_desc(RelationGetDescr(rel), n, attnums),
						  NULL, nrows);
	table_close(rel, NoLock);
}

/* Adds the line with the estimate of a delta of one source. */
static List *
explain_delta(List *lines, QueryCache *queries, ViewPlan *plan, int i)
{
	PlanSource *source = list_nth(plan->sources, i);
	QueryKey key = {.make_sql = derive_plan_delta_sql,
					.part = bms_make_singleton(i),
					.nrows = EXPLAIN_ROWS};
	char *line;

	register_imagined(source, EXPLAIN_ROWS);
	line = psprintf("  estimated cost of %d changed rows of %s: %.0f", EXPLAIN_ROWS,
					derive_relation_name(source->relid), delta_cost(queries, &key));
	derive_query_unregister(source->delta_name);
	return lappend(lines, line);
}

/* Returns lines for derive.explain, see choice.h. */
List *
derive_choice_explain(ViewPlan *plan, Oid owner)
{
	MemoryContext context = CurrentMemoryContext;
	List *lines = NIL;
	QueryCache *queries;
	OwnerScope scope;
	Cost recompute;

	if (!derive_plan_reads_deltas(plan))
		return NIL;
	derive_owner_enter(&scope, owner);
	SPI_connect();
	MemoryContextSwitchTo(context);
	queries = derive_query_cache(context, plan);
	recompute = recompute_cost(queries, plan);
	if (recompute * CHOICE_FACTOR >= CHOICE_FLOOR)
	{
		for (int i = 0; i < list_length(plan->sources); i++)
			lines = explain_delta(lines, queries, plan, i);
		lines = lappend(lines,
						psprintf("  estimated cost of recomputing: %.0f", recompute));
	}
	derive_query_cache_free(queries);
	SPI_finish();
	MemoryContextSwitchTo(context);
	derive_owner_leave(&scope);
	return lines;
}
