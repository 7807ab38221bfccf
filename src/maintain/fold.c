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
 * Each group is written as soon as its new state is known: its state row, then the
 * view's row.  In a view with a key that is one update.  A view without a key (the
 * group columns are not in its output) may have the same row from many groups, and
 * target.c wants each image only once in a run; so its signed images are sorted
 * first, which also lets what cancels out cancel out.
 *
 * A group lives while n > 0; the one group of an aggregate without GROUP BY lives
 * always.  HAVING is applied to the view's row, never to the state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/step.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "maintain/fold.h"
#include "maintain/fold_math.h"
#include "maintain/fold_touched.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

typedef struct FoldRun
{
	ViewRun    *run;
	Stage	   *stage;
	FoldMath   *math;
	TouchedGroups *touched;
	Target	   *state;
	Target	   *view;

	ExprContext *econtext;		/* its per-tuple memory is that of a group */
	ProjectionInfo *projection;
	ExprState  *having;
	TupleTableSlot *projected;	/* virtual, view's row */
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
	TupleTableSlot *new_state;	/* virtual, state row */

	Tuplesortstate *images;		/* signed images of a view without key, else NULL */
	TupleTableSlot *image;		/* virtual: image, sign */
} FoldRun;

/* Starts the sort of a keyless view's signed images. */
static void
begin_images(FoldRun *fold)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);
	AttrNumber	column = 1;
	Oid			less = ByteaLessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	TupleDescInitEntry(desc, 1, "image", BYTEAOID, -1, 0);
	TupleDescInitEntry(desc, 2, "sign", INT4OID, -1, 0);
	fold->images = tuplesort_begin_heap(desc, 1, &column, &less, &collation, &nulls_first,
										work_mem, NULL, TUPLESORT_NONE);
	fold->image = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
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
	fold->projection = ExecBuildProjectionInfo(run->outputs, fold->econtext, fold->projected,
											   NULL, run->state->desc);
	fold->having = run->having != NULL ? ExecInitExpr(run->having, NULL) : NULL;
	if (run->view->access == TARGET_BY_HASH && !first)
		begin_images(fold);
}

/* Ends a run; the relations are closed in the reverse order of their opening. */
static void
end_fold(FoldRun *fold)
{
	if (fold->images != NULL)
	{
		ExecDropSingleTupleTableSlot(fold->image);
		tuplesort_end(fold->images);
	}
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
	int			natts;

	if (state == NULL)
		return NULL;
	fold->econtext->ecxt_scantuple = state;
	if (fold->having != NULL)
	{
		bool		isnull;
		Datum		passes = ExecEvalExprSwitchContext(fold->having, fold->econtext, &isnull);

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

/* Adds a signed image of a keyless view's row to the sort. */
static void
put_image(FoldRun *fold, TupleTableSlot *row, int sign)
{
	MinimalTuple image;
	Size		size;

	if (row == NULL)
		return;
	image = derive_image_form(fold->run->view->shape, row);
	size = image->t_len;
	SET_VARSIZE(image, size);	/* a bytea from now on */

	ExecClearTuple(fold->image);
	fold->image->tts_values[0] = PointerGetDatum(image);
	fold->image->tts_values[1] = Int32GetDatum(sign);
	fold->image->tts_isnull[0] = fold->image->tts_isnull[1] = false;
	ExecStoreVirtualTuple(fold->image);
	tuplesort_puttupleslot(fold->images, fold->image);
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

	if (fold->images != NULL)
	{
		put_image(fold, old_row, -1);
		put_image(fold, new_row, 1);
	}
	else if (old_row != NULL || new_row != NULL)
		derive_target_replace(fold->view, old_row, new_row);
}

/* Takes the delta of one group (a RowConsumer). */
static void
take_delta(TupleTableSlot *delta, void *arg)
{
	FoldRun    *fold = (FoldRun *) arg;
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
	FoldRun    *fold = (FoldRun *) arg;
	MemoryContext oldcontext;

	CHECK_FOR_INTERRUPTS();
	ResetExprContext(fold->econtext);
	oldcontext = MemoryContextSwitchTo(fold->econtext->ecxt_per_tuple_memory);
	change_group(fold, derive_target_find(fold->state, keys), state);
	MemoryContextSwitchTo(oldcontext);
}

/* Applies the net change of one image. */
static void
change_copies(FoldRun *fold, MinimalTuple image, int64 copies)
{
	if (copies < 0)
		derive_target_remove(fold->view, image, -copies);
	else if (copies > 0)
	{
		TupleTableSlot *row = MakeSingleTupleTableSlot(fold->run->view->desc,
													   &TTSOpsMinimalTuple);

		ExecStoreMinimalTuple(image, row, false);
		for (; copies > 0; copies--)
			derive_target_insert(fold->view, row);
		ExecDropSingleTupleTableSlot(row);
	}
}

/* Tells whether a bytea holds the same image as a minimal tuple. */
static bool
same_image(MinimalTuple image, Datum bytea_image)
{
	return image->t_len == VARSIZE_ANY_EXHDR(DatumGetPointer(bytea_image)) + VARHDRSZ &&
		memcmp((char *) image + VARHDRSZ, VARDATA_ANY(DatumGetPointer(bytea_image)),
			   image->t_len - VARHDRSZ) == 0;
}

/* Sorts the signed images of a keyless view and applies the net change of each. */
static void
apply_images(FoldRun *fold)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(fold->image->tts_tupleDescriptor,
													&TTSOpsMinimalTuple);
	MemoryContext oldcontext = MemoryContextSwitchTo(fold->econtext->ecxt_per_tuple_memory);
	MinimalTuple image = NULL;
	int64		copies = 0;

	ResetExprContext(fold->econtext);
	tuplesort_performsort(fold->images);
	while (tuplesort_gettupleslot(fold->images, true, false, slot, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		if (image == NULL || !same_image(image, slot->tts_values[0]))
		{
			if (image != NULL)
				change_copies(fold, image, copies);
			ResetExprContext(fold->econtext);
			image = derive_image_tuple(slot->tts_values[0]);
			copies = 0;
		}
		copies += DatumGetInt32(slot->tts_values[1]);
	}
	if (image != NULL)
		change_copies(fold, image, copies);
	MemoryContextSwitchTo(oldcontext);
	ExecDropSingleTupleTableSlot(slot);
}

/* Brings a folded view forward by the deltas of its sources. */
void
derive_fold_apply(ViewRun *run)
{
	FoldRun		fold;

	begin_fold(&fold, run, false);
	fold.touched = derive_touched_begin(run);
	derive_query_run_kept(run->queries, &run->delta_key, take_delta, &fold);
	derive_touched_run(fold.touched, run, take_recomputed, &fold);
	if (fold.images != NULL)
		apply_images(&fold);
	end_fold(&fold);
}

/* Takes a state row of the first build (a RowConsumer). */
static void
take_first_state(TupleTableSlot *row, void *arg)
{
	FoldRun    *fold = (FoldRun *) arg;
	MemoryContext oldcontext;
	TupleTableSlot *new_row;
	int			natts = fold->new_state->tts_tupleDescriptor->natts;

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

/* Builds state and view from nothing. */
void
derive_fold_build(ViewRun *run)
{
	FoldRun		fold;

	begin_fold(&fold, run, true);
	derive_query_run_once(derive_plan_full_sql(run->plan), take_first_state, &fold);
	end_fold(&fold);
}
