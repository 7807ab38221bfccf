/*-------------------------------------------------------------------------
 *
 * linear.c
 *	  Signed rows into a relation: by delta, and by the diff of a recompute.
 *
 * The rows come as (count, image, key columns), consolidated: one row per image,
 * count never 0.  For a relation with a key they come in order of the key, and
 * what leaves before what arrives, so a row that leaves is held back until it is
 * known whether one with the same key arrives: then both are one update.  For a
 * relation without a key each image's copies are removed or added at once.
 *
 * Each row is written while the query still runs, see target.c for why it may.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "maintain/linear.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define COUNT_COLUMN 1
#define IMAGE_COLUMN 2

struct LinearApplier
{
	Target *target;
	TargetAccess access;
	MemoryContext row_context;	/* reset for each row */
	MemoryContext held_context; /* of the row held back */
	TupleTableSlot *row;		/* minimal: the present row */
	TupleTableSlot *held;		/* minimal: a row that leaves, held back */
	int64 held_copies;			/* 0: none is held back */
};

/* Removes what is held back. */
static void
flush_held(LinearApplier *applier)
{
	for (; applier->held_copies > 0; applier->held_copies--)
		derive_target_replace(applier->target, applier->held, NULL);
	ExecClearTuple(applier->held);
	MemoryContextReset(applier->held_context);
}

/* Holds a row back that leaves. */
static void
hold_back(LinearApplier *applier, Datum image, int64 copies)
{
	MemoryContext oldcontext;

	flush_held(applier);
	oldcontext = MemoryContextSwitchTo(applier->held_context);
	ExecStoreMinimalTuple(derive_image_tuple(image), applier->held, false);
	MemoryContextSwitchTo(oldcontext);
	applier->held_copies = copies;
}

/* Adds copies of a row, the first one perhaps in place of the one held back. */
static void
arrive(LinearApplier *applier, Datum image, int64 copies)
{
	ExecStoreMinimalTuple(derive_image_tuple(image), applier->row, false);
	if (applier->held_copies > 0 &&
		derive_target_same_key(applier->target, applier->held, applier->row))
	{
		derive_target_replace(applier->target, applier->held, applier->row);
		applier->held_copies--;
		copies--;
	}
	flush_held(applier);
	for (; copies > 0; copies--)
	{
		CHECK_FOR_INTERRUPTS();
		derive_target_insert(applier->target, applier->row);
	}
	ExecClearTuple(applier->row);
}

/* Takes one signed row: count, image; what follows is not looked at. */
void
derive_linear_take(TupleTableSlot *row, void *arg)
{
	LinearApplier *applier = (LinearApplier *) arg;
	MemoryContext oldcontext = MemoryContextSwitchTo(applier->row_context);
	bool isnull;
	int64 count = DatumGetInt64(slot_getattr(row, COUNT_COLUMN, &isnull));
	Datum image = slot_getattr(row, IMAGE_COLUMN, &isnull);

	if (count > 0)
		arrive(applier, image, count);
	else if (applier->access == TARGET_BY_HASH)
		derive_target_remove(applier->target, derive_image_tuple(image), -count);
	else
		hold_back(applier, image, -count);

	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(applier->row_context);
}

/* Prepares to apply signed rows, in CurrentMemoryContext. */
LinearApplier *
derive_linear_begin(Target *target)
{
	LinearApplier *applier = palloc0(sizeof(LinearApplier));
	TargetSpec *spec = derive_target_spec_of(target);

	applier->target = target;
	applier->access = spec->access;
	applier->row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_derive row",
												 ALLOCSET_DEFAULT_SIZES);
	applier->held_context = AllocSetContextCreate(
		CurrentMemoryContext, "pg_derive held row", ALLOCSET_SMALL_SIZES);
	applier->row = MakeSingleTupleTableSlot(spec->desc, &TTSOpsMinimalTuple);
	applier->held = MakeSingleTupleTableSlot(spec->desc, &TTSOpsMinimalTuple);
	return applier;
}

/* Removes what is still held back, and what derive_linear_begin made. */
void
derive_linear_end(LinearApplier *applier)
{
	flush_held(applier);
	ExecDropSingleTupleTableSlot(applier->row);
	ExecDropSingleTupleTableSlot(applier->held);
	MemoryContextDelete(applier->row_context);
	MemoryContextDelete(applier->held_context);
	pfree(applier);
}

/* Brings a linear view forward by the deltas of its sources. */
void
derive_linear_apply(ViewRun *run)
{
	Target *target = derive_target_open(run->view, run->out, false);
	LinearApplier *applier = derive_linear_begin(target);

	derive_query_run_kept(run->queries, &run->delta_key, derive_linear_take, applier);
	derive_linear_end(applier);
	run->rows_changed += derive_target_close(target);
}

/* Applies the signed rows that a query gives, once, to a relation. */
void
derive_linear_diff(Target *target, const char *diff_sql)
{
	LinearApplier *applier = derive_linear_begin(target);

	derive_query_run_once(diff_sql, derive_linear_take, applier);
	derive_linear_end(applier);
}
