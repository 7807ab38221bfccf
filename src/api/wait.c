/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  derive.wait: waits until commits are in the views.
 *
 * Without a target, it asks for a tick and waits for one that began after the
 * request: its snapshot shows everything that was committed before the call.  With
 * a target, it waits until the applied LSN has passed it.  In both cases no live
 * view may be left behind when it returns; with a view, that view must be live.
 *
 * The result can be seen by the next statement of a READ COMMITTED transaction.  A
 * transaction with a fixed snapshot could not see it; that is an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "api/view_functions.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/lsn.h"
#include "base/wait_event.h"
#include "common/string.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(derive_wait);

#define LOOK_AGAIN_MS 100

typedef struct Wait
{
	Pipeline *pipeline;
	XLogRecPtr target; /* InvalidXLogRecPtr: everything committed by now */
	bool asked;		   /* for a tick, by number request */
	uint64 request;
	Oid view;		/* InvalidOid: all live views */
	int64 deadline; /* as by derive_clock_ms; 0: none */
} Wait;

/* Throws what the caller must know when a single view cannot get there by itself. */
static void
reject_state(Oid view, const char *state, const char *reason)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("derived view \"%s\" is %s", get_rel_name(view), state),
		 reason[0] != '\0' ? errdetail("%s", reason) : 0,
		 strcmp(state, "paused") == 0
			 ? errhint("derive.resume maintains it again.")
			 : errhint("It is tried again by itself, or at once by derive.refresh.")));
}

/* Throws if this transaction itself changed the view, which the applier cannot see yet. */
static void
reject_own_change(const CatalogView *view)
{
	if (TransactionIdIsCurrentTransactionId(view->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("derived view \"%s\" was created or changed in this transaction",
						get_rel_name(view->view)),
				 errdetail("It is maintained after the transaction has committed.")));
}

/* Says whether the one view that is waited for is live and not behind. */
static bool
view_is_current(Oid view)
{
	CatalogView *row;
	bool current;

	row = derive_catalog_find_view(view);
	if (row == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the derived view was dropped meanwhile")));
	if (row->paused)
		reject_state(view, "paused", "");
	if (row->state != NULL && strcmp(row->state, "failed") == 0 &&
		row->refreshes == row->refreshes_done)
		reject_state(view, "failed", derive_api_reason(view, row->reason));
	if (row->state != NULL && strcmp(row->state, "stale") == 0 &&
		row->reason[0] != '\0' && pg_str_endswith(row->reason, " is paused"))
		reject_state(view, "stale", row->reason);
	current = row->state != NULL && strcmp(row->state, "live") == 0 &&
			  row->frontier == NULL && row->refreshes == row->refreshes_done;
	return current;
}

/* Says whether the wait is over. */
static bool
is_over(const Wait *wait)
{
	Pipeline *p = wait->pipeline;

	if (p->dboid != MyDatabaseId)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the pipeline of this database was removed")));
	if (pg_atomic_read_u64(&p->tick_done) < wait->request)
		return false;
	if (pg_atomic_read_u64(&p->applied_lsn) < wait->target)
		return false;
	pg_read_barrier();
	if (OidIsValid(wait->view))
		return view_is_current(wait->view);
	return pg_atomic_read_u32(&p->views_behind) == 0;
}

/*
 * Asks the applier for a tick that reaches the target, once the log has got there.
 * Everything else (views left behind, transactions not visible yet) it tries again
 * by itself.
 */
static void
ask_for_target(Wait *wait)
{
	Pipeline *p = wait->pipeline;

	if (wait->asked || derive_lsn_reachable(GetXLogInsertRecPtr()) < wait->target)
		return;
	derive_atomic_raise(&p->wait_lsn, wait->target);
	wait->request = pg_atomic_add_fetch_u64(&p->tick_request, 1);
	wait->asked = true;
	derive_pipeline_wake_applier(p);
}

/* Throws when the deadline has passed. */
static void
report_timeout(const Wait *wait)
{
	Pipeline *p = wait->pipeline;
	char reason[DERIVE_REASON_LEN];

	SpinLockAcquire(&p->mutex);
	strlcpy(reason, p->reason, sizeof(reason));
	SpinLockRelease(&p->mutex);
	ereport(ERROR,
			(errcode(ERRCODE_DERIVE_WAIT_TIMEOUT),
			 errmsg("timeout while waiting for derived views"),
			 reason[0] != '\0' ? errdetail("The pipeline: %s.", reason) : 0,
			 errhint("See derive.pipelines and derive.views for what holds it up.")));
}

/* Sleeps until a tick ends, the deadline is near, or it is time to look again. */
static void
sleep_for_tick(const Wait *wait)
{
	long ms = LOOK_AGAIN_MS;

	if (wait->deadline != 0)
	{
		long left = derive_clock_until(wait->deadline);

		if (left == 0)
		{
			ConditionVariableCancelSleep();
			report_timeout(wait);
		}
		ms = Min(ms, left);
	}
	(void) ConditionVariableTimedSleep(&wait->pipeline->tick_cv, ms,
									   derive_wait_event(WAIT_VIEWS));
}

/* Waits until is_over says so. */
static void
wait_for_views(Wait *wait)
{
	ConditionVariablePrepareToSleep(&wait->pipeline->tick_cv);
	while (!is_over(wait))
	{
		ask_for_target(wait);
		sleep_for_tick(wait);
		CHECK_FOR_INTERRUPTS();
	}
	ConditionVariableCancelSleep();
}

/* Returns the time, as by derive_clock_ms, at which an interval from now ends. */
static int64
deadline_after(Interval *timeout)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = DatumGetTimestampTz(OidFunctionCall2(
		F_TIMESTAMPTZ_PL_INTERVAL, TimestampTzGetDatum(now), IntervalPGetDatum(timeout)));

	return derive_clock_ms() + (end - now) / 1000;
}

/*
 * derive.wait(target, timeout, view) → pg_lsn
 */
Datum
derive_wait(PG_FUNCTION_ARGS)
{
	Wait wait = {0};

	if (IsolationUsesXactSnapshot())
		ereport(
			ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("derive.wait has no effect in a transaction whose snapshot is fixed"),
			 errdetail("Rows that it waits for would not be visible."),
			 errhint("Call it before the transaction, or use READ COMMITTED.")));
	wait.pipeline = derive_api_pipeline();
	if (!PG_ARGISNULL(0))
		wait.target = derive_lsn_reachable(PG_GETARG_LSN(0));
	if (!PG_ARGISNULL(1))
		wait.deadline = deadline_after(PG_GETARG_INTERVAL_P(1));
	if (!PG_ARGISNULL(2))
	{
		wait.view = PG_GETARG_OID(2);
		reject_own_change(derive_api_readable_view(wait.view));
	}
	if (XLogRecPtrIsInvalid(wait.target))
	{
		wait.request = pg_atomic_add_fetch_u64(&wait.pipeline->tick_request, 1);
		wait.asked = true;
		derive_pipeline_wake_applier(wait.pipeline);
	}
	wait_for_views(&wait);
	PG_RETURN_LSN(pg_atomic_read_u64(&wait.pipeline->applied_lsn));
}
