/*-------------------------------------------------------------------------
 *
 * runner.c
 *	  Carries out a view's plan: by delta, or by recompute and diff.
 *
 * A runner holds what can be kept between ticks: the plan, its outputs as
 * executable expressions, what is known of the view's relation and its state, and
 * the kept SPI plans.  All of it is thrown away when something that the view
 * depends on changes.
 *
 * Everything between enter and leave happens as the view's owner, security-
 * restricted and with a locked search_path: the queries, the output expressions,
 * and the index expressions, constraints and triggers that the owner has put on
 * the view's relation.  The owner needs SELECT on the sources and on the state.
 *
 * Memory: a context per run, below the one that is current at the call; an error
 * leaves it to be freed with that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "base/owner.h"
#include "base/step.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "maintain/choice.h"
#include "maintain/fold.h"
#include "maintain/keys.h"
#include "maintain/linear.h"
#include "maintain/recompute.h"
#include "maintain/runner.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "shared/progress.h"
#include "utils/lsyscache.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

struct ViewRunner
{
	MemoryContext context;
	ViewPlan *plan;
	Oid owner;
	QueryCache *queries;
	TargetSpec *view;
	TargetSpec *state; /* NULL without a fold */
	List *outputs;
	Expr *having;
};

/* Complains about a relation that does not have the columns it should. */
static void
report_misfit(Oid relid)
{
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("relation \"%s\" does not have the columns of its query",
						   get_rel_name(relid)),
					errhint("Drop the view and create it again.")));
}

/* Checks one column's type. */
static void
check_column(TargetSpec *spec, int i, Oid type)
{
	Form_pg_attribute att;

	if (i >= spec->desc->natts)
		report_misfit(spec->relid);
	att = TupleDescAttr(spec->desc, i);
	if (att->attisdropped || att->atttypid != type)
		report_misfit(spec->relid);
}

/* Checks that the view's relation has exactly the query's columns. */
static void
check_view(ViewRunner *runner)
{
	int natts = 0;
	ListCell *lc;

	foreach (lc, runner->plan->query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (!entry->resjunk)
			check_column(runner->view, natts++, exprType((Node *) entry->expr));
	}
	if (natts != runner->view->desc->natts)
		report_misfit(runner->view->relid);
}

/* Checks that the state table has keys, "n" and the stage's columns. */
static void
check_state(ViewRunner *runner)
{
	Stage *stage = runner->plan->stage;
	int natts = 0;

	for (int i = 0; i < stage->nkeys; i++)
		check_column(runner->state, natts++, stage->keys[i].type);
	check_column(runner->state, natts++, INT8OID);
	for (int i = 0; i < stage->ncolumns; i++)
		check_column(runner->state, natts++, stage->columns[i].type);
	if (natts != runner->state->desc->natts)
		report_misfit(runner->state->relid);
}

/* Makes the stage's outputs executable; constants are folded, as the owner. */
static void
plan_outputs(ViewRunner *runner)
{
	Stage *stage = runner->plan->stage;
	OwnerScope scope;
	ListCell *lc;

	derive_owner_enter(&scope, runner->owner);
	runner->outputs = copyObject(stage->outputs);
	foreach (lc, runner->outputs)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		entry->expr = expression_planner(entry->expr);
	}
	if (stage->having != NULL)
		runner->having = expression_planner((Expr *) copyObject(stage->having));
	derive_owner_leave(&scope);
}

/* Says how rows of the view's relation are found. */
static TargetAccess
view_access(ViewPlan *plan)
{
	if (plan->single_row)
		return TARGET_ONLY_ROW;
	return plan->key != NIL ? TARGET_BY_KEY : TARGET_BY_HASH;
}

/* Collects what is known of the state table, whose key are its first columns. */
static TargetSpec *
state_spec(Stage *stage, Oid state)
{
	List *key = NIL;

	for (int i = 1; i <= stage->nkeys; i++)
		key = lappend_int(key, i);
	return derive_target_spec(state, key != NIL ? TARGET_BY_KEY : TARGET_ONLY_ROW, key);
}

/* Makes a runner, see runner.h. */
ViewRunner *
derive_runner_create(MemoryContext parent, ViewPlan *plan, Oid view, Oid owner, Oid state)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_derive runner",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	ViewRunner *runner = palloc0(sizeof(ViewRunner));

	runner->context = context;
	runner->plan = plan;
	plan->view = view;
	plan->state = state;
	runner->owner = owner;
	runner->queries = derive_query_cache(context, plan);
	runner->view = derive_target_spec(view, view_access(plan), plan->key);
	check_view(runner);
	if (plan->stage->kind == STAGE_FOLD)
	{
		runner->state = state_spec(plan->stage, state);
		check_state(runner);
		plan_outputs(runner);
	}
	MemoryContextSwitchTo(oldcontext);
	return runner;
}

/* Frees a runner and its kept plans. */
void
derive_runner_destroy(ViewRunner *runner)
{
	derive_query_cache_free(runner->queries);
	MemoryContextDelete(runner->context);
}

/* Returns the plan that a runner was made with. */
ViewPlan *
derive_runner_plan(ViewRunner *runner)
{
	return runner->plan;
}

/*
 * Collects which sources have a delta, for the choice of the kept plan; returns
 * false if the deltas do not tell all, or rows leave and the rule has no delta for that, so
 * that only a recompute helps.
 */
static bool
collect_changed(ViewRunner *runner, DeltaSet *set, QueryKey *key)
{
	bool recursion = runner->plan->rule == RULE_RECURSION;
	bool followed = true;
	ListCell *lc;

	key->make_sql = derive_plan_delta_sql;
	key->generations = palloc0(sizeof(uint64) * (list_length(runner->plan->sources) + 1));
	foreach (lc, runner->plan->sources)
	{
		PlanSource *source = (PlanSource *) lfirst(lc);
		SourceDelta *delta = derive_delta_find(set, source->relid, source->only,
											   source->keys_only);
		int i = foreach_current_index(lc);
		DeltaEffect effect = DELTA_ARRIVES;

		if (delta == NULL)
			elog(ERROR, "no delta is kept of relation %u", source->relid);
		if (delta->lost && derive_plan_reads_deltas(runner->plan))
			return false;
		if (recursion)
			effect = derive_delta_effect(delta, source->columns);
		if ((delta->nrows == 0 && !delta->lost) || effect == DELTA_NOTHING)
			continue;
		followed &= effect == DELTA_ARRIVES;
		key->part = bms_add_member(key->part, i);
		key->nrows += delta->nrows;
		key->generations[i] = delta->layout_generation;
	}
	return followed;
}

/* Makes the deltas of the sources that changed visible to SQL, if that reads them. */
static void
register_deltas(ViewRun *run, DeltaSet *set)
{
	int i = -1;

	if (!derive_plan_reads_deltas(run->plan))
		return;
	while ((i = bms_next_member(run->delta_key.part, i)) >= 0)
	{
		PlanSource *source = (PlanSource *) list_nth(run->plan->sources, i);
		SourceDelta *delta = derive_delta_find(set, source->relid, source->only,
											   source->keys_only);

		derive_query_register(source->delta_name, delta->desc, delta->rows, delta->nrows);
	}
}

/* Prepares a run in a context of its own, which is made current. */
static void
begin_run(ViewRun *run, ViewRunner *runner, SourceDelta *out)
{
	memset(run, 0, sizeof(ViewRun));
	run->context = AllocSetContextCreate(CurrentMemoryContext, "pg_derive run",
										 ALLOCSET_DEFAULT_SIZES);
	run->plan = runner->plan;
	run->queries = runner->queries;
	derive_query_new_run(run->queries);
	run->view = runner->view;
	run->state = runner->state;
	run->outputs = runner->outputs;
	run->having = runner->having;
	run->out = out;
	MemoryContextSwitchTo(run->context);
}

/* Becomes the owner and connects to SPI; the active snapshot sees all that was written. */
static void
enter_run(ViewRun *run, ViewRunner *runner, OwnerScope *scope)
{
	DERIVE_STEP("tick-view");
	UpdateActiveSnapshotCommandId();
	derive_owner_enter(scope, runner->owner);
	SPI_connect();
	MemoryContextSwitchTo(run->context);
}

/* Undoes enter_run and makes what was written visible. */
static void
leave_run(ViewRun *run, OwnerScope *scope)
{
	SPI_finish();
	derive_owner_leave(scope);
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	DERIVE_STEP("tick-target-written");
}

/* Brings the view forward by the rule of its stage. */
static void
apply_by_kind(ViewRun *run)
{
	switch (run->plan->stage->kind)
	{
		case STAGE_LINEAR:
		case STAGE_RECURSION:
			derive_linear_apply(run);
			break;
		case STAGE_FOLD:
			derive_fold_apply(run);
			break;
		case STAGE_KEYS:
			derive_keys_apply(run);
			break;
		case STAGE_FIRST:
			derive_recompute_first(run);
			break;
		case STAGE_RECOMPUTE:
			elog(ERROR, "a view that is recomputed has no delta");
	}
}

/* Brings the view forward by the deltas, see runner.h. */
void
derive_runner_apply(ViewRunner *runner, DeltaSet *set, SourceDelta *out,
					RunnerStats *stats)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ViewRun run;
	OwnerScope scope;
	bool recompute;
	bool chosen = false;

	begin_run(&run, runner, out);
	recompute = !collect_changed(runner, set, &run.delta_key) ||
				(runner->plan->rule == RULE_RECOMPUTE && run.delta_key.part != NULL);
	if (!recompute && run.delta_key.part != NULL)
	{
		enter_run(&run, runner, &scope);
		register_deltas(&run, set);
		recompute = chosen = !derive_choice_is_delta(&run);
		if (!recompute)
			apply_by_kind(&run);
		leave_run(&run, &scope);
	}
	stats->rows_in = run.delta_key.nrows;
	stats->rows_changed = run.rows_changed;
	stats->recomputed = false;
	MemoryContextSwitchTo(oldcontext);
	if (recompute)
		derive_runner_recompute(runner, false, out, stats);
	stats->chosen = chosen;
	MemoryContextDelete(run.context);
}

/* Tells whether a relation has never had a row; a restored one may have. */
static bool
is_empty(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	bool empty = RelationGetNumberOfBlocks(rel) == 0;

	table_close(rel, NoLock);
	return empty;
}

/* Makes the view equal to its query, see runner.h. */
void
derive_runner_recompute(ViewRunner *runner, bool first, SourceDelta *out,
						RunnerStats *stats)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ViewRun run;
	OwnerScope scope;

	begin_run(&run, runner, out);
	enter_run(&run, runner, &scope);
	first = first && is_empty(runner->view->relid) &&
			(runner->state == NULL || is_empty(runner->state->relid));
	derive_progress_begin(runner->view->relid,
						  first ? PROGRESS_BUILDING : PROGRESS_COMPARING);
	if (first)
		derive_recompute_build(&run);
	else
		derive_recompute_diff(&run);
	leave_run(&run, &scope);
	DERIVE_STEP("tick-recomputed");
	stats->rows_changed = run.rows_changed;
	stats->recomputed = true;
	stats->chosen = false;
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(run.context);
}

/* Prepares to read what the runner maintains, see runner.h. */
void
derive_runner_enter(ViewRunner *runner, ViewRun *run, OwnerScope *scope)
{
	begin_run(run, runner, NULL);
	derive_owner_enter(scope, runner->owner);
	SPI_connect();
	MemoryContextSwitchTo(run->context);
}

/* Undoes derive_runner_enter. */
void
derive_runner_leave(ViewRun *run, OwnerScope *scope)
{
	SPI_finish();
	derive_owner_leave(scope);
	MemoryContextSwitchTo(MemoryContextGetParent(run->context));
	MemoryContextDelete(run->context);
}
