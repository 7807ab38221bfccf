/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  GROUP BY with stored state.
 *
 * The state table has a row per group: keys, n (the group's rows), and what the
 * aggregates' inverses need.  The delta query gives one row per touched group; it
 * is folded into the state row, and the view's old and new row are both computed
 * from the state, before and after (fold_math.c does the arithmetic).  A group
 * whose new state cannot be folded, because its least value may have left, say,
 * is put aside; when the delta query is through, the groups put aside are computed
 * anew from the sources, all at once (fold_touched.c).
 *
 * Each group is written as soon as its new state is known: its state row, then, if
 * the view's key holds all group keys, the view's row in one update.  In other views
 * rows of several groups meet: without a key they may be the same row, and with a
 * part of the group keys as key one group's row may take the place of another's.
 * There the signed rows are collected, sorted and applied at the end (row_sort.c).
 *
 * A group lives while n > 0; the one group of an aggregate without GROUP BY lives
 * always.  HAVING is applied to the view's row, never to the state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/step.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "maintain/fold.h"
#include "maintain/fold_math.h"
#include "maintain/fold_touched.h"
#include "maintain/row_sort.h"
#include "miscadmin.h"
#include "utils/memutils.h"

typedef struct FoldRun
{
	ViewRun *run;
	Stage *stage;
	FoldMath *math;
	TouchedGroups *touched;
	Target *state;
	Target *view;

	ExprContext *econtext; /* its per-tuple memory is that of a group */
	ProjectionInfo *projection;
	ExprState *having;
	TupleTableSlot *projected; /* virtual, view's row */
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
	TupleTableSlot *new_state; /* virtual, state row */

	RowSort *rows; /* signed rows, applied at the end; NULL: at once */
} FoldRun;

/* Tells whether each row of the view belongs to one group, the same for ever. */
static bool
rows_are_groups(ViewRun *run)
{
	Bitmapset *keys = NULL;
	ListCell *lc;

	if (run->view->access == TARGET_ONLY_ROW)
		return true;
	foreach (lc, run->view->key)
	{
		TargetEntry *output = list_nth_node(TargetEntry, run->outputs,
											lfirst_int(lc) - 1);

		if (IsA(output->expr, Var) &&
			((Var *) output->expr)->varattno <= run->plan->stage->nkeys)
			keys = bms_add_member(keys, ((Var *) output->expr)->varattno);
	}
	return bms_num_members(keys) == run->plan->stage->nkeys;
}

/* Prepares a run, in the run's context. */
static void
begin_fold(FoldRun *fold, ViewRun *run, bool first)
{
	memset(fold, 0, sizeof(FoldRun));
	fold->run = run;
	fold->stage = run->plan->stage;
	fold->math = derive_fold_math(fold->stage);
	fold->view = derive_target_open(run->view, run->out, first);
	fold->state = derive_target_open(run->state, NULL, first);

	fold->projected = MakeSingleTupleTableSlot(run->view->desc, &TTSOpsVirtual);
	fold->old_row = MakeSingleTupleTableSlot(run->view->desc, &TTSOpsVirtual);
	fold->new_row = MakeSingleTupleTableSlot(run->view->desc, &TTSOpsVirtual);
	fold->new_state = MakeSingleTupleTableSlot(run->state->desc, &TTSOpsVirtual);
	fold->econtext = CreateStandaloneExprContext();
	fold->projection = ExecBuildProjectionInfo(run->outputs, fold->econtext,
											   fold->projected, NULL, run->state->desc);
	fold->having = run->having != NULL ? ExecInitExpr(run->having, NULL) : NULL;
	if (!first && !rows_are_groups(run))
		fold->rows = derive_sort_begin(run->view);
}

/* Ends a run; the relations are closed in the reverse order of their opening. */
static void
end_fold(FoldRun *fold)
{
	derive_target_close(fold->state);
	fold->run->rows_changed += derive_target_close(fold->view);
	FreeExprContext(fold->econtext, true);
	ExecDropSingleTupleTableSlot(fold->projected);
	ExecDropSingleTupleTableSlot(fold->old_row);
	ExecDropSingleTupleTableSlot(fold->new_row);
	ExecDropSingleTupleTableSlot(fold->new_state);
}

/*
 * Computes the view's row of a state into slot, and returns it, or NULL if there is
 * no state or HAVING drops it.  The values live in the group's memory.
 */
static TupleTableSlot *
row_of_state(FoldRun *fold, TupleTableSlot *state, TupleTableSlot *slot)
{
	TupleTableSlot *projected;
	int natts;

	if (state == NULL)
		return NULL;
	fold->econtext->ecxt_scantuple = state;
	if (fold->having != NULL)
	{
		bool isnull;
		Datum passes = ExecEvalExprSwitchContext(fold->having, fold->econtext, &isnull);

		if (isnull || !DatumGetBool(passes))
			return NULL;
	}
	projected = ExecProject(fold->projection);
	natts = projected->tts_tupleDescriptor->natts;
	ExecClearTuple(slot);
	memcpy(slot->tts_values, projected->tts_values, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, projected->tts_isnull, sizeof(bool) * natts);
	return ExecStoreVirtualTuple(slot);
}

/* Brings a group's state from old to new (either may be NULL) and the view with it. */
static void
change_group(FoldRun *fold, TupleTableSlot *old, TupleTableSlot *new)
{
	TupleTableSlot *old_row = row_of_state(fold, old, fold->old_row);
	TupleTableSlot *new_row = row_of_state(fold, new, fold->new_row);

	if (old == NULL && new != NULL)
		derive_target_insert(fold->state, new);
	else if (old != NULL && new == NULL)
		derive_target_delete(fold->state, old);
	else if (old != NULL && !derive_image_rows_equal(fold->run->state->shape, old, new))
		derive_target_update(fold->state, old, new);
	DERIVE_STEP("tick-state-written");

	if (fold->rows != NULL)
	{
		if (old_row != NULL)
			derive_sort_put(fold->rows, old_row, -1);
		if (new_row != NULL)
			derive_sort_put(fold->rows, new_row, 1);
	}
	else if (old_row != NULL || new_row != NULL)
		derive_target_replace(fold->view, old_row, new_row);
}

/* Takes the delta of one group (a RowConsumer). */
static void
take_delta(TupleTableSlot *delta, void *arg)
{
	FoldRun *fold = (FoldRun *) arg;
	MemoryContext oldcontext;
	TupleTableSlot *old;

	CHECK_FOR_INTERRUPTS();
	ResetExprContext(fold->econtext);
	oldcontext = MemoryContextSwitchTo(fold->econtext->ecxt_per_tuple_memory);

	slot_getallattrs(delta);
	derive_fold_set_keys(fold->math, fold->new_state, delta);
	old = derive_target_find(fold->state, fold->new_state);
	switch (derive_fold_add(fold->math, old, delta, fold->new_state))
	{
		case FOLD_NEW_STATE:
			change_group(fold, old, fold->new_state);
			break;
		case FOLD_GONE:
			change_group(fold, old, NULL);
			break;
		case FOLD_RECOMPUTE:
			derive_touched_add(fold->touched, fold->new_state);
			break;
	}
	MemoryContextSwitchTo(oldcontext);
}

/* Takes the new state of a group that was computed anew, or that it is gone. */
static void
take_recomputed(TupleTableSlot *keys, TupleTableSlot *state, void *arg)
{
	FoldRun *fold = (FoldRun *) arg;
	MemoryContext oldcontext;

	CHECK_FOR_INTERRUPTS();
	ResetExprContext(fold->econtext);
	oldcontext = MemoryContextSwitchTo(fold->econtext->ecxt_per_tuple_memory);
	change_group(fold, derive_target_find(fold->state, keys), state);
	MemoryContextSwitchTo(oldcontext);
}

/* Brings a folded view forward by the deltas of its sources. */
void
derive_fold_apply(ViewRun *run)
{
	FoldRun fold;

	begin_fold(&fold, run, false);
	fold.touched = derive_touched_begin(run);
	derive_query_run_kept(run->queries, &run->delta_key, take_delta, &fold);
	derive_touched_run(fold.touched, run, take_recomputed, &fold);
	if (fold.rows != NULL)
		derive_sort_apply(fold.rows, fold.view);
	end_fold(&fold);
}

/* Takes a state row of the first build (a RowConsumer). */
static void
take_first_state(TupleTableSlot *row, void *arg)
{
	FoldRun *fold = (FoldRun *) arg;
	MemoryContext oldcontext;
	TupleTableSlot *new_row;
	int natts = fold->new_state->tts_tupleDescriptor->natts;

	CHECK_FOR_INTERRUPTS();
	ResetExprContext(fold->econtext);
	oldcontext = MemoryContextSwitchTo(fold->econtext->ecxt_per_tuple_memory);

	slot_getallattrs(row);
	ExecClearTuple(fold->new_state);
	memcpy(fold->new_state->tts_values, row->tts_values, sizeof(Datum) * natts);
	memcpy(fold->new_state->tts_isnull, row->tts_isnull, sizeof(bool) * natts);
	ExecStoreVirtualTuple(fold->new_state);

	derive_target_insert(fold->state, fold->new_state);
	new_row = row_of_state(fold, fold->new_state, fold->new_row);
	if (new_row != NULL)
		derive_target_insert(fold->view, new_row);
	MemoryContextSwitchTo(oldcontext);
}

/*
 * Builds state and view from nothing, in order of the keys: what changes together often has
 * neighbouring keys, and then lies on few pages.
 */
void
derive_fold_build(ViewRun *run)
{
	FoldRun fold;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, derive_plan_full_sql(run->plan));
	for (int i = 1; i <= run->plan->stage->nkeys; i++)
		appendStringInfo(&sql, "%s%d", i == 1 ? "\nORDER BY " : ", ", i);
	begin_fold(&fold, run, true);
	derive_query_run_once(sql.data, take_first_state, &fold);
	end_fold(&fold);
}
