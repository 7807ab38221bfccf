/*-------------------------------------------------------------------------
 *
 * recompute.c
 *	  A view's whole content, first or anew.
 *
 * The first build inserts what the query gives.  Every later recompute compares
 * the query's result with what is stored, by image, and applies the difference as
 * if it were a delta: it repairs whatever was stored, and the views above get no
 * more than what really changed.  Of a fold first the state is compared with its
 * query, then the view with what follows from the state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/step.h"
#include "executor/executor.h"
#include "maintain/fold.h"
#include "maintain/linear.h"
#include "maintain/recompute.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

typedef struct Build
{
	Target *target;
	TupleTableSlot *row;	   /* virtual, of the view */
	MemoryContext row_context; /* reset for each row */
} Build;

/* Inserts a row of the query's result (a RowConsumer). */
static void
take_first_row(TupleTableSlot *row, void *arg)
{
	Build *build = (Build *) arg;
	MemoryContext oldcontext = MemoryContextSwitchTo(build->row_context);
	int natts = build->row->tts_tupleDescriptor->natts;

	CHECK_FOR_INTERRUPTS();
	slot_getallattrs(row);
	ExecClearTuple(build->row);
	memcpy(build->row->tts_values, row->tts_values, sizeof(Datum) * natts);
	memcpy(build->row->tts_isnull, row->tts_isnull, sizeof(bool) * natts);
	ExecStoreVirtualTuple(build->row);
	derive_target_insert(build->target, build->row);
	ExecClearTuple(build->row);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(build->row_context);
}

/* Builds a view whose relation (and state) is empty. */
void
derive_recompute_build(ViewRun *run)
{
	Build build;

	if (run->plan->stage->kind == STAGE_FOLD)
	{
		derive_fold_build(run);
		return;
	}
	build.target = derive_target_open(run->view, run->out, true);
	build.row = MakeSingleTupleTableSlot(run->view->desc, &TTSOpsVirtual);
	build.row_context = AllocSetContextCreate(run->context, "pg_derive row",
											  ALLOCSET_DEFAULT_SIZES);
	derive_query_run_once(derive_plan_full_sql(run->plan), take_first_row, &build);
	ExecDropSingleTupleTableSlot(build.row);
	run->rows_changed += derive_target_close(build.target);
}

/* Makes a relation equal to the result of a query, and returns how many rows changed. */
static int64
diff_relation(TargetSpec *spec, SourceDelta *out, const char *new_sql)
{
	Target *target = derive_target_open(spec, out, false);

	derive_linear_diff(target, derive_plan_diff_sql(new_sql, spec->relid, spec->key));
	return derive_target_close(target);
}

/* Makes a view equal to its query by comparing both. */
void
derive_recompute_diff(ViewRun *run)
{
	const char *new_sql = derive_plan_full_sql(run->plan);

	if (run->plan->stage->kind == STAGE_FOLD)
	{
		Oid state = run->state->relid;
		const char *schema = get_namespace_name(get_rel_namespace(state));

		diff_relation(run->state, NULL, new_sql);
		CommandCounterIncrement();
		UpdateActiveSnapshotCommandId();
		DERIVE_STEP("tick-state-written");
		new_sql = derive_plan_output_sql(
			run->plan, quote_qualified_identifier(schema, get_rel_name(state)));
	}
	run->rows_changed += diff_relation(run->view, run->out, new_sql);
}

/*
 * Brings a view of the first rows by an order forward: they are read again and compared
 * with all that is stored.
 */
void
derive_recompute_first(ViewRun *run)
{
	QueryKey key = {.make_sql = derive_plan_recompute_sql};
	Target *target = derive_target_open(run->view, run->out, false);
	LinearApplier *applier = derive_linear_begin(target);

	derive_query_run_kept(run->queries, &key, derive_linear_take, applier);
	derive_linear_end(applier);
	run->rows_changed += derive_target_close(target);
}
