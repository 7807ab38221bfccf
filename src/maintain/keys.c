/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Views of independent parts (windows, DISTINCT ON), by affected keys.
 *
 * The delta query gives the keys of all parts that may have changed.  Then, for each
 * pattern of NULLs among them, one query compares the new content of these parts with
 * the rows that the view stores of them, and gives the difference as signed rows in the
 * order in which linear.c applies them.
 *
 * The parts of different patterns are computed one after the other.  If a row of the
 * view tells by its key (or, without a key, by its image) which part it belongs to, then
 * each key or image occurs in one pattern only, as target.c demands.  Otherwise a row may
 * move from one pattern to another: what several patterns give is collected, sorted and
 * applied at the end (row_sort.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/keys.h"
#include "maintain/linear.h"
#include "maintain/row_sort.h"
#include "maintain/touched_keys.h"
#include "miscadmin.h"

/* Takes the key of a part (a RowConsumer). */
static void
take_key(TupleTableSlot *row, void *arg)
{
	CHECK_FOR_INTERRUPTS();
	slot_getallattrs(row);
	derive_touched_keys_add((TouchedKeys *) arg, row);
}

/* Puts a signed row into a sort (a RowConsumer). */
static void
take_unsorted(TupleTableSlot *row, void *arg)
{
	CHECK_FOR_INTERRUPTS();
	derive_sort_put_signed((RowSort *) arg, row);
}

/* Tells whether what identifies a row of the view also tells its part. */
static bool
rows_know_their_part(ViewRun *run)
{
	ListCell *lc;

	if (run->view->key == NIL)
		return true;
	foreach (lc, run->plan->stage->lookup)
	{
		if (!list_member_int(run->view->key, lfirst_int(lc)))
			return false;
	}
	return true;
}

/* Brings a view of independent parts forward by the deltas of its sources. */
void
derive_keys_apply(ViewRun *run)
{
	TouchedKeys *touched = derive_touched_keys_begin(run->plan->stage);
	Target *target;

	derive_query_run_kept(run->queries, &run->delta_key, take_key, touched);
	target = derive_target_open(run->view, run->out, false);
	if (derive_touched_keys_patterns(touched) > 1 && !rows_know_their_part(run))
	{
		RowSort *rows = derive_sort_begin(run->view);

		derive_touched_keys_run(touched, run->queries, derive_plan_keys_sql,
								take_unsorted, rows);
		derive_sort_apply(rows, target);
	}
	else
	{
		LinearApplier *applier = derive_linear_begin(target);

		derive_touched_keys_run(touched, run->queries, derive_plan_keys_sql,
								derive_linear_take, applier);
		derive_linear_end(applier);
	}
	run->rows_changed += derive_target_close(target);
}
