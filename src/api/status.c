/*-------------------------------------------------------------------------
 *
 * status.c
 *	  What derive.pipelines and derive.views read from shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/step.h"
#include "capture/stream.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "shared/pipeline.h"
#include "shared/view_stats.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(derive_pipeline_status);
PG_FUNCTION_INFO_V1(derive_recompute_progress);
PG_FUNCTION_INFO_V1(derive_processor_pid);
PG_FUNCTION_INFO_V1(derive_view_statistics);
PG_FUNCTION_INFO_V1(derive_view_totals);
PG_FUNCTION_INFO_V1(derive_debug_steps);

/* Returns the name of a pipeline's state. */
static const char *
state_name(PipelineState state)
{
	switch (state)
	{
		case PIPELINE_STOPPED:
			return "stopped";
		case PIPELINE_STARTING:
			return "starting";
		case PIPELINE_RUNNING:
			return "running";
		case PIPELINE_FAILED:
			return "failed";
	}
	return "";
}

/* Returns an interval of so many microseconds. */
static Datum
interval_us(int64 us)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = us;
	return IntervalPGetDatum(interval);
}

/* Sets a column to a position, or to NULL if it is not known. */
static void
set_lsn(Datum *values, bool *nulls, int column, pg_atomic_uint64 *lsn)
{
	uint64 value = pg_atomic_read_u64(lsn);

	values[column] = LSNGetDatum(value);
	nulls[column] = value == InvalidXLogRecPtr;
}

/* derive_state.pipeline_status() */
Datum
derive_pipeline_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Pipeline *p = derive_shared ? derive_pipeline_find(MyDatabaseId) : NULL;
	Datum values[14];
	bool nulls[14] = {0};
	NameData slot;
	char reason[DERIVE_REASON_LEN];
	PipelineState state;
	pid_t applier, decoder;
	TimestampTz pending;

	InitMaterializedSRF(fcinfo, 0);
	if (p == NULL)
		return (Datum) 0;

	SpinLockAcquire(&p->mutex);
	state = p->state;
	strlcpy(reason, p->reason, sizeof(reason));
	applier = p->applier_pid;
	decoder = p->decoder_pid;
	pending = p->oldest_pending;
	SpinLockRelease(&p->mutex);

	namestrcpy(&slot, derive_stream_slot_name(MyDatabaseId));
	values[0] = NameGetDatum(&slot);
	values[1] = CStringGetTextDatum(state_name(state));
	values[2] = CStringGetTextDatum(reason);
	values[3] = Int32GetDatum(decoder);
	nulls[3] = decoder == 0;
	values[4] = Int32GetDatum(applier);
	nulls[4] = applier == 0;
	set_lsn(values, nulls, 5, &p->received_lsn);
	set_lsn(values, nulls, 6, &p->applied_lsn);
	set_lsn(values, nulls, 7, &p->confirmed_lsn);
	values[8] = interval_us(pending == 0 ? 0 : Max(GetCurrentTimestamp() - pending, 0));
	values[9] = Int64GetDatum(pg_atomic_read_u64(&p->transactions));
	values[10] = Int64GetDatum(pg_atomic_read_u64(&p->changes));
	values[11] = Int64GetDatum(pg_atomic_read_u64(&p->ticks));
	values[12] = Int64GetDatum(pg_atomic_read_u64(&p->queue_bytes));
	values[13] = Int64GetDatum(pg_atomic_read_u64(&p->commits));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/* derive_state.processor_pid() */
Datum
derive_processor_pid(PG_FUNCTION_ARGS)
{
	Pipeline *p = derive_shared ? derive_pipeline_find(MyDatabaseId) : NULL;
	pid_t pid = 0;

	if (p != NULL)
	{
		SpinLockAcquire(&p->mutex);
		pid = p->processor_pid;
		SpinLockRelease(&p->mutex);
	}
	if (pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(pid);
}

/* derive_state.view_statistics(view) */
Datum
derive_view_statistics(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	ViewStats stats = {0};
	Datum values[7];
	bool nulls[7] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	derive_view_stats_get(PG_GETARG_OID(0), &stats);
	values[0] = Int64GetDatum(stats.rows_changed);
	values[1] = Int64GetDatum(stats.ticks);
	values[2] = Int64GetDatum(stats.recomputes);
	values[3] = Int64GetDatum(stats.choices);
	values[4] = Int64GetDatum(stats.repairs);
	values[5] = TimestampTzGetDatum(stats.last_tick_at);
	values[6] = interval_us(stats.last_tick_us);
	nulls[5] = nulls[6] = stats.ticks == 0;
	PG_RETURN_DATUM(
		HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* derive_state.view_totals(view) */
Datum
derive_view_totals(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	ViewStats stats = {0};
	Datum values[3];
	bool nulls[3] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	derive_view_stats_get(PG_GETARG_OID(0), &stats);
	values[0] = Int64GetDatum(stats.rows_in);
	values[1] = interval_us(stats.total_us);
	values[2] = Int64GetDatum(stats.audits);
	PG_RETURN_DATUM(
		HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* derive_state.recompute_progress() */
Datum
derive_recompute_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Pipeline *p = derive_shared ? derive_pipeline_find(MyDatabaseId) : NULL;
	Datum values[4];
	bool nulls[4] = {0};
	ProgressPhase phase = PROGRESS_NONE;
	TimestampTz since = 0;
	Oid view = InvalidOid;

	InitMaterializedSRF(fcinfo, 0);
	if (p != NULL)
	{
		SpinLockAcquire(&p->mutex);
		view = p->progress_view;
		phase = p->progress_phase;
		since = p->progress_since;
		SpinLockRelease(&p->mutex);
	}
	if (phase == PROGRESS_NONE)
		return (Datum) 0;
	values[0] = ObjectIdGetDatum(view);
	values[1] = CStringGetTextDatum(phase == PROGRESS_BUILDING ? "building"
															   : "comparing");
	values[2] = Int64GetDatum(pg_atomic_read_u64(&p->progress_rows));
	values[3] = TimestampTzGetDatum(since);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/* derive_state.debug_steps() */
Datum
derive_debug_steps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; derive_step_names[i] != NULL; i++)
	{
		Datum value = CStringGetTextDatum(derive_step_names[i]);
		bool isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
