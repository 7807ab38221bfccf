/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far the recompute is that the applier is at.
 *
 * The applier recomputes one view at a time, and notes which one, what it does and
 * the rows written so far in its pipeline's entry, where derive.progress reads it.  An
 * error leaves the note, so the caller ends it in any case.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared/progress.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

/* Sets what is shown. */
static void
set_progress(Oid view, ProgressPhase phase)
{
	Pipeline *p = derive_pipeline_find(MyDatabaseId);

	if (p == NULL)
		return;
	pg_atomic_write_u64(&p->progress_rows, 0);
	SpinLockAcquire(&p->mutex);
	p->progress_view = view;
	p->progress_phase = phase;
	p->progress_since = phase == PROGRESS_NONE ? 0 : GetCurrentTimestamp();
	SpinLockRelease(&p->mutex);
}

/* Notes that a view's recompute begins. */
void
derive_progress_begin(Oid view, ProgressPhase phase)
{
	set_progress(view, phase);
}

/* Notes how many rows the recompute has written so far. */
void
derive_progress_rows(int64 rows)
{
	static Pipeline *p = NULL;

	if (p == NULL)
		p = derive_pipeline_find(MyDatabaseId);
	if (p != NULL)
		pg_atomic_write_u64(&p->progress_rows, rows);
}

/* Notes that the recompute is over, or failed. */
void
derive_progress_end(void)
{
	set_progress(InvalidOid, PROGRESS_NONE);
}
