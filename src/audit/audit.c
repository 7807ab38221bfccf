/*-------------------------------------------------------------------------
 *
 * audit.c
 *	  Views audited in ticks that take place anyway, a few keys at a time.
 *
 * Called by the tick when all views are at its snapshot.  pg_derive.audit_rate keys per
 * second may be compared; what a pause saves up is not more than one second's worth.
 * Besides, audits take at most one part in TIME_SHARE of the applier's time, whatever
 * they cost.  Each audit takes a random live view or stage.
 *
 * A difference is logged, written to derive_state.audit with the tick, and makes the view
 * stale: the next tick recomputes it and compares, together with the derived views that it
 * reads, which may be the cause, and with the views that read it, which may have taken over
 * what was wrong.  So a view is never live while it is known to differ.
 *
 * What it reads is compared as a whole at once, while it is at the tick's snapshot: what the
 * next tick finds different may as well be what was written in between.  For the same
 * reason nothing is noted of the views above: they are what follows from what is stored below.
 *
 * An error in an audit undoes the audit alone: the view's own maintenance will meet it if it
 * concerns it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "audit/audit.h"
#include "audit/view_audit.h"
#include "base/errors.h"
#include "base/settings.h"
#include "catalog/view_catalog.h"
#include "common/pg_prng.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "portability/instr_time.h"
#include "shared/view_stats.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define TIME_SHARE 20	  /* audits take at most 1/20 of the time */
#define MAX_AUDIT_KEYS 10 /* of one view at a time */

/* What may be spent. */
static double keys_saved = 0;
static int64 saved_at = 0; /* in us, as now_us */
static int64 not_before = 0;

/* Returns the microseconds since some moment before the server's start. */
static int64
now_us(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

/* Returns how many keys may be compared now. */
static int
keys_allowed(int64 now)
{
	double elapsed = saved_at == 0 ? 0 : (double) (now - saved_at) / USECS_PER_SEC;
	double most = Max(derive_audit_rate, 1);

	saved_at = now;
	keys_saved = Min(keys_saved + elapsed * derive_audit_rate, most);
	if (derive_audit_rate == 0 || now < not_before)
		return 0;
	return Min((int) keys_saved, MAX_AUDIT_KEYS);
}

/* Says whether a view is at the tick's snapshot. */
static bool
can_be_compared(LiveView *view)
{
	return view->state == VIEW_LIVE && !view->paused && view->locked &&
		   view->cohort != NULL && view->cohort->active;
}

/* Returns a random view that is at the tick's snapshot, or NULL. */
static LiveView *
choose_view(Maintainer *m)
{
	LiveView *chosen = NULL;
	int n = 0;
	ListCell *lc;

	foreach (lc, m->views->views)
	{
		LiveView *view = lfirst(lc);

		if (!can_be_compared(view))
			continue;
		if (pg_prng_uint64_range(&pg_global_prng_state, 0, n++) == 0)
			chosen = view;
	}
	return chosen;
}

/* Audits a view in a subtransaction; an error is no difference. */
static List *
audit_protected(LiveView *view, int nkeys, int *compared)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	List *volatile differences = NIL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		differences = derive_audit_view(view, nkeys, compared);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		*compared = 0;
		ereport(DEBUG1, (errmsg_internal("audit of \"%s\" failed: %s",
										 get_rel_name(view->view), error->message)));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return differences;
}

/* Logs differences of a view and notes them. */
static void
note(LiveView *view, List *differences)
{
	AuditDifference *first = linitial(differences);
	Oid root = OidIsValid(view->part_of) ? view->part_of : view->view;
	ListCell *lc;

	ereport(
		WARNING,
		(errcode(ERRCODE_DERIVE_VIEW_DIVERGED),
		 errmsg("derived view \"%s\" differs from its query", get_rel_name(root)),
		 errdetail("An audit of \"%s\" found a row that is %s: expected %s, stored %s.",
				   get_rel_name(view->view), first->kind,
				   first->expected ? first->expected : "none",
				   first->actual ? first->actual : "none"),
		 errhint("The view is recomputed now; derive.audits shows all that was found.")));
	SPI_connect();
	foreach (lc, differences)
	{
		AuditDifference *difference = lfirst(lc);

		derive_catalog_insert_audit(view->id, difference->kind, difference->expected,
									difference->actual);
	}
	derive_catalog_trim_audits();
	SPI_finish();
}

/*
 * Notes a view's differences and lets the next tick recompute it, and first the derived views
 * that it reads: it may differ because one of them does, and would be no better for being
 * computed from that.  They are compared, too, so that what differs in them is known.
 */
static void
distrust(Maintainer *m, LiveView *view, List *differences)
{
	ListCell *lc;

	if (differences != NIL)
		note(view, differences);
	view->unrepaired = true;
	derive_view_set_state(view, VIEW_STALE,
						  differences != NIL
							  ? "an audit found rows that differ from the query"
							  : "an audit found that a view which reads it is wrong");
	foreach (lc, m->views->views)
	{
		LiveView *below = lfirst(lc);
		List *causes = NIL;
		int compared;

		if (below->state != VIEW_LIVE || !derive_live_view_reads(view, below->view))
			continue;
		if (can_be_compared(below))
			causes = audit_protected(below, 0, &compared);
		distrust(m, below, causes);
	}
}

/* Audits some keys if it is time to, see audit.h. */
void
derive_audit_tick(Maintainer *m)
{
	int64 start = now_us();
	int nkeys = keys_allowed(start);
	LiveView *view = nkeys > 0 ? choose_view(m) : NULL;
	List *differences;
	int compared;

	if (view == NULL)
		return;
	differences = audit_protected(view, nkeys, &compared);
	keys_saved -= nkeys;
	not_before = now_us() + (now_us() - start) * TIME_SHARE;
	derive_view_stats_audited(view->view, compared);
	if (differences != NIL)
		distrust(m, view, differences);
}
