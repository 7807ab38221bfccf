/*-------------------------------------------------------------------------
 *
 * consumer_functions.c
 *	  derive.create_consumer, fetch, ack, fail and the rest about consumers.
 *
 * What there is to know about consumers is in derive_state and in the functions of
 * sql/60_outbox.sql, which run as the bootstrap superuser and are told who asks.  Events
 * are read with the rights of who asks, by statements of their own.
 *
 * A fetch that waits holds no lock but those of derive_state's rows that it has looked
 * at: it sleeps on the condition variable that the applier broadcasts after each tick,
 * and looks again only when the applier has written events, when something of its own is
 * due, or when the lease of another holder ends.
 *
 * Before it hands out events of a view, fetch sees to it that the tick which wrote them is on
 * disk: what a consumer has seen must not be written anew, as something else, after a crash.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "api/outbox_functions.h"
#include "api/view_functions.h"
#include "base/lsn.h"
#include "base/owner.h"
#include "base/wait_event.h"
#include "catalog/outbox_catalog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "publish/outbox.h"
#include "shared/commit_hook.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(derive_create_consumer);
PG_FUNCTION_INFO_V1(derive_drop_consumer);
PG_FUNCTION_INFO_V1(derive_fetch);
PG_FUNCTION_INFO_V1(derive_ack);
PG_FUNCTION_INFO_V1(derive_fail);
PG_FUNCTION_INFO_V1(derive_replay);
PG_FUNCTION_INFO_V1(derive_seek);

#define MAX_ARGS 9
#define EVENT_RESULT_COLUMNS 9 /* of fetch; the last one is the token */

/* Arguments of a statement. */
typedef struct Args
{
	int n;
	Oid types[MAX_ARGS];
	Datum values[MAX_ARGS];
	char nulls[MAX_ARGS + 1];
} Args;

/* Adds an argument; returns args. */
static Args *
add(Args *args, Oid type, Datum value, bool isnull)
{
	Assert(args->n < MAX_ARGS);
	args->types[args->n] = type;
	args->values[args->n] = value;
	args->nulls[args->n++] = isnull ? 'n' : ' ';
	return args;
}

/*
 * Checks that the caller may read an outbox, and begins the arguments of a statement with
 * those that all have: the outbox's id, the consumer's name and who asks.
 */
static Args *
begin_call(Oid outbox, Datum consumer)
{
	Args *args = palloc0(sizeof(Args));
	CatalogOutbox *row = derive_api_find_outbox(outbox);
	AclResult acl = pg_class_aclcheck(outbox, GetUserId(), ACL_SELECT);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, get_rel_name(outbox));
	add(args, INT8OID, Int64GetDatum(row->id), false);
	add(args, TEXTOID, consumer, false);
	return add(args, OIDOID, ObjectIdGetDatum(GetUserId()), false);
}

/* Runs a statement that gives rows; the caller is connected. */
static void
run(const char *sql, Args *args)
{
	if (SPI_execute_with_args(sql, args->n, args->types, args->values, args->nulls, false,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", sql);
}

/* Does so as the bootstrap superuser; lock_wait: ms to wait for locks, 0: for ever. */
static void
run_trusted(const char *sql, Args *args, long lock_wait)
{
	OwnerScope scope;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	if (lock_wait > 0)
		(void) set_config_option("lock_timeout", psprintf("%ld", lock_wait), PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	run(sql, args);
	derive_owner_leave(&scope);
}

/* Calls a function of derive_state whose result does not matter. */
static Datum
call(const char *sql, Args *args)
{
	SPI_connect();
	run_trusted(sql, args, 0);
	SPI_finish();
	return (Datum) 0;
}

/* derive.create_consumer(outbox, consumer, start, max_attempts, backoff) */
Datum
derive_create_consumer(PG_FUNCTION_ARGS)
{
	Args *args = begin_call(PG_GETARG_OID(0), PG_GETARG_DATUM(1));

	add(args, TEXTOID, PG_GETARG_DATUM(2), false);
	add(args, INT4OID, PG_GETARG_DATUM(3), false);
	add(args, INTERVALOID, PG_GETARG_DATUM(4), false);
	call("SELECT derive_state.add_consumer($1, $2, $3, $4, $5, $6)", args);
	PG_RETURN_VOID();
}

/* derive.drop_consumer(outbox, consumer) */
Datum
derive_drop_consumer(PG_FUNCTION_ARGS)
{
	call("SELECT derive_state.remove_consumer($1, $2, $3)",
		 begin_call(PG_GETARG_OID(0), PG_GETARG_DATUM(1)));
	PG_RETURN_VOID();
}

/* derive.ack(outbox, consumer, position, token) */
Datum
derive_ack(PG_FUNCTION_ARGS)
{
	Args *args = begin_call(PG_GETARG_OID(0), PG_GETARG_DATUM(1));

	add(args, INT8OID, PG_GETARG_DATUM(2), false);
	add(args, INT8OID, PG_GETARG_DATUM(3), false);
	call("SELECT derive_state.ack($1, $2, $3, $4, $5)", args);
	PG_RETURN_VOID();
}

/* derive.replay(outbox, consumer, position) */
Datum
derive_replay(PG_FUNCTION_ARGS)
{
	call("SELECT derive_state.replay($1, $2, $3, $4)",
		 add(begin_call(PG_GETARG_OID(0), PG_GETARG_DATUM(1)), INT8OID,
			 PG_GETARG_DATUM(2), false));
	derive_commit_hook_catalog_changed(false); /* it may be a processor's */
	PG_RETURN_VOID();
}

/* derive.seek(outbox, consumer, start) */
Datum
derive_seek(PG_FUNCTION_ARGS)
{
	call("SELECT derive_state.seek($1, $2, $3, $4)",
		 add(begin_call(PG_GETARG_OID(0), PG_GETARG_DATUM(1)), TEXTOID,
			 PG_GETARG_DATUM(2), false));
	derive_commit_hook_catalog_changed(false); /* it may be a processor's */
	PG_RETURN_VOID();
}

/* Returns a column of the first row of the last result. */
static Datum
result(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/* ---------- fail ---------- */

/* derive.fail(outbox, consumer, position, token, error) */
Datum
derive_fail(PG_FUNCTION_ARGS)
{
	Oid outbox = PG_GETARG_OID(0);
	char *table;
	Args *args;
	Args event = {0};
	Datum key;
	Datum same_key;
	bool no_key = true;
	bool none = true;

	for (int i = 0; i < 4; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("only the error of derive.fail may be null")));
	args = begin_call(outbox, PG_GETARG_DATUM(1));
	table = derive_outbox_name(outbox);
	SPI_connect();
	run_trusted("SELECT h.position, h.fetched"
				" FROM derive_state.held_consumer($1, $2, $3, $4) h",
				add(args, INT8OID, PG_GETARG_DATUM(3), false), 0);
	add(&event, INT8OID, PG_GETARG_DATUM(2), false);
	add(&event, INT8OID, result(1, &none), false);
	add(&event, INT8OID, result(2, &none), false);
	/* what is acknowledged has been handled: an event that is replayed is older than that */
	run(psprintf("SELECT e.aggregateid, ARRAY(SELECT s.position FROM %s s"
				 " WHERE s.position OPERATOR(pg_catalog.>) GREATEST($1, $2)"
				 " AND s.position OPERATOR(pg_catalog.<=) $3"
				 " AND s.aggregateid OPERATOR(pg_catalog.=) e.aggregateid)"
				 " FROM %s e WHERE e.position OPERATOR(pg_catalog.=) $1",
				 table, table),
		&event);
	key = SPI_processed > 0 ? result(1, &no_key) : (Datum) 0;
	same_key = SPI_processed > 0 ? result(2, &none) : (Datum) 0;
	args->n--;
	add(args, INT8OID, PG_GETARG_DATUM(2), false);
	add(args, INT8OID, PG_GETARG_DATUM(3), false);
	add(args, TEXTOID, PG_ARGISNULL(4) ? (Datum) 0 : PG_GETARG_DATUM(4), PG_ARGISNULL(4));
	add(args, TEXTOID, key, no_key);
	add(args, INT8ARRAYOID, same_key, same_key == (Datum) 0);
	run_trusted("SELECT derive_state.fail($1, $2, $3, $4, $5, $6, $7, $8)", args, 0);
	SPI_finish();
	PG_RETURN_VOID();
}

/* ---------- fetch ---------- */

typedef struct Fetch
{
	Pipeline *pipeline;
	Oid outbox;
	bool of_view;
	char *table;
	Args *who; /* outbox's id, consumer, caller */
	Datum session;
	int32 max;
	Datum lease;
	TimestampTz deadline; /* 0: do not wait */

	/* from begin_fetch */
	bool held;
	int64 position;
	int64 token;
	Datum due; /* arrays */
	Datum deferred;
	Datum keys;
	TimestampTz look_at; /* 0: nothing is due */

	/* what is given out */
	ReturnSetInfo *to;
	int64 given;
	int64 last; /* position of the last one */
} Fetch;

/* Returns a name of this session that no other one has had. */
static Datum
session_name(void)
{
	return CStringGetTextDatum(
		psprintf(INT64_FORMAT ".%d", (int64) MyStartTimestamp, MyProcPid));
}

/* Returns the milliseconds until a time, at least 1. */
static long
ms_until(TimestampTz time)
{
	return Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), time), 1);
}

/* Locks the consumer if there may be something for this session. */
static void
begin_fetch(Fetch *fetch, MemoryContext context)
{
	Args args = *fetch->who;
	MemoryContext old;
	bool isnull;

	add(&args, TEXTOID, fetch->session, false);
	add(&args, BOOLOID, BoolGetDatum(fetch->deadline != 0), false);
	run_trusted("SELECT held, position, token, due, deferred, keys, look_at"
				" FROM derive_state.begin_fetch($1, $2, $3, $4, $5)",
				&args, fetch->deadline != 0 ? ms_until(fetch->deadline) : 0);
	fetch->held = DatumGetBool(result(1, &isnull));
	fetch->look_at = DatumGetTimestampTz(result(7, &isnull));
	if (isnull)
		fetch->look_at = 0;
	if (!fetch->held)
		return;
	fetch->position = DatumGetInt64(result(2, &isnull));
	fetch->token = DatumGetInt64(result(3, &isnull));
	old = MemoryContextSwitchTo(context);
	fetch->due = PointerGetDatum(PG_DETOAST_DATUM_COPY(result(4, &isnull)));
	fetch->deferred = PointerGetDatum(PG_DETOAST_DATUM_COPY(result(5, &isnull)));
	fetch->keys = PointerGetDatum(PG_DETOAST_DATUM_COPY(result(6, &isnull)));
	MemoryContextSwitchTo(old);
}

/* Returns the number of elements of an array. */
static int
count(Datum array)
{
	ArrayType *a = DatumGetArrayTypeP(array);

	return ArrayGetNItems(ARR_NDIM(a), ARR_DIMS(a));
}

/* Gives out the rows of the last result, which are in order. */
static void
give(Fetch *fetch)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum values[EVENT_RESULT_COLUMNS];
		bool nulls[EVENT_RESULT_COLUMNS];

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		values[EVENT_RESULT_COLUMNS - 1] = Int64GetDatum(fetch->token);
		nulls[EVENT_RESULT_COLUMNS - 1] = false;
		tuplestore_putvalues(fetch->to->setResult, fetch->to->setDesc, values, nulls);
		fetch->last = DatumGetInt64(values[0]);
		fetch->given++;
	}
}

static const char event_columns[] =
	"e.position, e.id, e.aggregatetype, e.aggregateid, e.type, e.payload, e.headers,"
	" e.created_at, NULL::pg_catalog.int8";

/*
 * Reads events whose time has come again and new ones, but for those that failed or whose key
 * waits; the first ones of all in the order of positions.  So an ack of any of them is one
 * of all that come before it and are not deferred.
 */
static void
give_events(Fetch *fetch)
{
	Args args = {0};
	const char *condition = "";
	char *sql;

	add(&args, INT8OID, Int64GetDatum(fetch->position), false);
	add(&args, INT4OID, Int32GetDatum(fetch->max), false);
	add(&args, INT8ARRAYOID, fetch->due, false);
	if (count(fetch->deferred) > 0 || count(fetch->keys) > 0)
	{
		condition = " AND e.position OPERATOR(pg_catalog.<>) ALL ($4)"
					" AND (e.aggregateid IS NULL OR"
					" e.aggregateid OPERATOR(pg_catalog.<>) ALL ($5))";
		add(&args, INT8ARRAYOID, fetch->deferred, false);
		add(&args, TEXTARRAYOID, fetch->keys, false);
	}
	sql = psprintf("SELECT %s FROM %s e WHERE e.position OPERATOR(pg_catalog.>) $1%s"
				   " ORDER BY e.position LIMIT $2",
				   event_columns, fetch->table, condition);
	if (count(fetch->due) > 0)
		sql = psprintf("SELECT %s FROM %s e"
					   " WHERE e.position OPERATOR(pg_catalog.=) ANY ($3)"
					   " UNION ALL (%s) ORDER BY 1 LIMIT $2",
					   event_columns, fetch->table, sql);
	run(sql, &args);
	give(fetch);
}

/* Ends a fetch that gives something: the consumer is this session's for the time. */
static void
end_fetch(Fetch *fetch)
{
	Args waiting = {0};
	Args args = {0};
	Datum arrays[2] = {0};
	bool none = true;

	if (count(fetch->keys) > 0)
	{
		add(&waiting, INT8OID, Int64GetDatum(fetch->position), false);
		add(&waiting, INT8OID, Int64GetDatum(fetch->last), false);
		add(&waiting, INT8ARRAYOID, fetch->deferred, false);
		add(&waiting, TEXTARRAYOID, fetch->keys, false);
		run(psprintf("SELECT pg_catalog.array_agg(e.position), pg_catalog.array_agg("
					 "e.aggregateid) FROM %s e WHERE e.position OPERATOR(pg_catalog.>) $1"
					 " AND e.position OPERATOR(pg_catalog.<) $2"
					 " AND e.position OPERATOR(pg_catalog.<>) ALL ($3)"
					 " AND e.aggregateid OPERATOR(pg_catalog.=) ANY ($4)",
					 fetch->table),
			&waiting);
		arrays[0] = result(1, &none);
		arrays[1] = none ? (Datum) 0 : result(2, &none);
	}
	args.n = 0;
	add(&args, INT8OID, fetch->who->values[0], false);
	add(&args, TEXTOID, fetch->who->values[1], false);
	add(&args, TEXTOID, fetch->session, false);
	add(&args, INT8OID, Int64GetDatum(fetch->token), false);
	add(&args, INTERVALOID, fetch->lease, false);
	add(&args, INT8ARRAYOID, fetch->due, false);
	add(&args, INT8OID, Int64GetDatum(fetch->last), false);
	add(&args, INT8ARRAYOID, arrays[0], none);
	add(&args, TEXTARRAYOID, arrays[1], none);
	run_trusted("SELECT derive_state.end_fetch($1, $2, $3, $4, $5, $6, $7, $8, $9)",
				&args, 0);
}

/*
 * Sees to it that the tick which wrote what is given out is on disk before the caller can act on
 * it.  Outside a transaction block the commit that follows does.  Over a table it need
 * not be: the same changes, which are on disk, would be the same events at the same positions.
 */
static void
make_durable(Fetch *fetch)
{
	if (fetch->of_view &&
		(IsTransactionBlock() || synchronous_commit == SYNCHRONOUS_COMMIT_OFF))
		XLogFlush(derive_lsn_reachable(GetXLogInsertRecPtr()));
}

/* Gives out what there is now. */
static void
fetch_now(Fetch *fetch)
{
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	begin_fetch(fetch, context);
	if (fetch->held)
	{
		give_events(fetch);
		if (fetch->given > 0)
		{
			end_fetch(fetch);
			make_durable(fetch);
		}
	}
	SPI_finish();
}

/* Sleeps until there may be more than when the counter was read, or until a time. */
static void
sleep_for_events(Fetch *fetch, uint64 counter)
{
	Pipeline *p = fetch->pipeline;
	TimestampTz until = fetch->deadline;

	if (fetch->look_at != 0)
		until = Min(until, fetch->look_at);
	ConditionVariablePrepareToSleep(&p->tick_cv);
	while (pg_atomic_read_u64(&p->events) == counter && p->dboid == MyDatabaseId &&
		   GetCurrentTimestamp() < until)
	{
		(void) ConditionVariableTimedSleep(&p->tick_cv, ms_until(until),
										   derive_wait_event(WAIT_EVENTS));
		CHECK_FOR_INTERRUPTS();
	}
	ConditionVariableCancelSleep();
}

/* Checks the numbers that a fetch is given. */
static void
check_fetch(FunctionCallInfo fcinfo)
{
	Datum zero = DirectFunctionCall3(interval_in, CStringGetDatum("0"), 0, -1);

	for (int i = 0; i < 4; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("only the wait of derive.fetch may be null")));
	if (PG_GETARG_INT32(2) < 1 ||
		!DatumGetBool(DirectFunctionCall2(interval_gt, PG_GETARG_DATUM(3), zero)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max and lease must be positive")));
	if (!PG_ARGISNULL(4) && IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("derive.fetch cannot wait in a transaction with a fixed "
							   "snapshot"),
						errdetail("The events would not be visible in it."),
						errhint("Use READ COMMITTED, or fetch without waiting.")));
}

/* derive.fetch(outbox, consumer, max, lease, wait) */
Datum
derive_fetch(PG_FUNCTION_ARGS)
{
	Fetch fetch = {0};

	check_fetch(fcinfo);
	fetch.pipeline = derive_api_pipeline();
	fetch.outbox = PG_GETARG_OID(0);
	fetch.who = begin_call(fetch.outbox, PG_GETARG_DATUM(1));
	fetch.of_view = derive_api_find_outbox(fetch.outbox)->of_view;
	fetch.table = derive_outbox_name(fetch.outbox);
	fetch.session = session_name();
	fetch.max = PG_GETARG_INT32(2);
	fetch.lease = PG_GETARG_DATUM(3);
	if (!PG_ARGISNULL(4))
		fetch.deadline = DatumGetTimestampTz(DirectFunctionCall2(
			timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
			PG_GETARG_DATUM(4)));
	InitMaterializedSRF(fcinfo, 0);
	fetch.to = (ReturnSetInfo *) fcinfo->resultinfo;
	for (;;)
	{
		uint64 counter = pg_atomic_read_u64(&fetch.pipeline->events);

		pg_memory_barrier();
		fetch_now(&fetch);
		if (fetch.given > 0 || fetch.deadline == 0 ||
			GetCurrentTimestamp() >= fetch.deadline)
			break;
		sleep_for_events(&fetch, counter);
	}
	return (Datum) 0;
}
