/*-------------------------------------------------------------------------
 *
 * processor.c
 *	  Calling the handlers of processors.
 *
 * A processor is a consumer of its outbox.  A slice of events is fetched, in a transaction of
 * its own, and then handled in groups: the handler's calls, each in a subtransaction, what
 * has failed, and the acknowledgement commit together.  So what a handler writes is there
 * exactly once, wherever the process dies.  What is fetched and not acknowledged comes
 * again.
 *
 * A group serves one request (base/request_id.c): what handlers write carries the request id
 * of the event that they write it for, or the one that the handler itself sets.  If a
 * handler sets one and is not the first of its group, its call is undone and
 * begins the next one.
 *
 * All of it runs as the processor's owner, security-restricted, under the search_path of the
 * processor's creation.  Deferred constraints are checked at once: a failure at the commit
 * would be nobody's, and so would the rights with which their triggers run.
 *
 * Not in a tick, and in READ COMMITTED: a handler may wait for row locks as any other
 * program does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "publish/processor.h"

#include "access/xact.h"
#include "base/clock.h"
#include "base/owner.h"
#include "base/request_id.h"
#include "base/step.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "publish/row_text.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define SLICE 200			 /* events that are fetched at a time */
#define GROUP_TIME 50		 /* ms, after which a group commits */
#define LEASE "1 day"		 /* a successor ends it, see derive_catalog_seize_consumer */
#define SAVED_TEXT_LEN 10000 /* of an error */

typedef struct Event
{
	int64 position;
	int64 token;
	char *op;
	Jsonb *payload; /* or NULL */
	Jsonb *headers;
	char *request; /* "": none */
} Event;

struct Processor
{
	CatalogProcessor row;
	SPIPlanPtr call; /* kept; NULL: not made yet */
};

/* One slice of events. */
typedef struct Slice
{
	Processor *processor;
	MemoryContext context;
	Event *events;
	int n;
	int done;		/* of these */
	int64 *waiting; /* positions that failed, or wait behind one that did; sorted */
	int nwaiting;
} Slice;

Processor *
derive_processor_make(const CatalogProcessor *row)
{
	Processor *processor = palloc0(sizeof(Processor));

	processor->row = *row;
	return processor;
}

void
derive_processor_free(Processor *processor)
{
	if (processor->call != NULL)
		SPI_freeplan(processor->call);
	pfree(processor);
}

/* ---------- transactions ---------- */

/* Starts a transaction as the processor's owner. */
static void
begin(Processor *processor, OwnerScope *scope)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	derive_owner_enter(scope, processor->row.owner);
	(void) set_config_option("search_path", processor->row.path, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Commits it. */
static void
commit(OwnerScope *scope)
{
	derive_owner_leave(scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Sets the request that this transaction serves. */
static void
set_request(const char *request)
{
	(void) set_config_option("pg_derive.request_id", request, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* ---------- consuming ---------- */

/* Runs a statement of the outbox and the consumer, and more; the caller is connected. */
static void
consume(Processor *processor, const char *sql, int64 position, int64 token,
		const char *error)
{
	Oid types[5] = {REGCLASSOID, TEXTOID, INT8OID, INT8OID, TEXTOID};
	Datum values[5];

	values[0] = ObjectIdGetDatum(processor->row.outbox);
	values[1] = CStringGetTextDatum(processor->row.name);
	values[2] = Int64GetDatum(position);
	values[3] = Int64GetDatum(token);
	values[4] = CStringGetTextDatum(error);
	if (SPI_execute_with_args(sql, 5, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", sql);
}

/* Reads an event out of row i of the last result, in CurrentMemoryContext. */
static void
read_event(Event *event, uint64 i)
{
	Datum values[6];
	bool nulls[6];

	heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
	event->position = DatumGetInt64(values[0]);
	event->op = TextDatumGetCString(values[1]);
	event->payload = nulls[2] ? NULL : DatumGetJsonbPCopy(values[2]);
	event->headers = DatumGetJsonbPCopy(values[3]);
	event->request = nulls[4] ? "" : TextDatumGetCString(values[4]);
	event->token = DatumGetInt64(values[5]);
}

/* Fetches events, in the order of their positions. */
static void
fetch(Slice *slice)
{
	OwnerScope scope;
	MemoryContext old;

	begin(slice->processor, &scope);
	SPI_connect();
	consume(slice->processor,
			"SELECT e.position, e.type, e.payload, e.headers OPERATOR(pg_catalog.||)"
			" pg_catalog.jsonb_build_object('id', e.id, 'position', e.position),"
			" e.headers OPERATOR(pg_catalog.->>) 'request_id', e.token"
			" FROM derive.fetch($1, $2, " CppAsString2(
				SLICE) ", '" LEASE "') e"
					   " WHERE $3 IS NOT NULL AND $4 IS NOT NULL AND $5 IS NOT NULL"
					   " ORDER BY e.position",
			0, 0, "");
	old = MemoryContextSwitchTo(slice->context);
	slice->n = SPI_processed;
	slice->events = palloc(sizeof(Event) * Max(slice->n, 1));
	for (int i = 0; i < slice->n; i++)
		read_event(&slice->events[i], i);
	MemoryContextSwitchTo(old);
	SPI_finish();
	commit(&scope);
}

/* Returns true if an event is not to be handled now. */
static bool
waits(const Slice *slice, int64 position)
{
	for (int i = 0; i < slice->nwaiting; i++)
		if (slice->waiting[i] == position)
			return true;
	return false;
}

/* Notes that an event could not be handled, and what has to wait for it. */
static void
fail(Slice *slice, const Event *event, const char *error)
{
	MemoryContext old;

	SPI_connect();
	consume(slice->processor, "SELECT derive.fail($1, $2, $3, $4, $5)", event->position,
			event->token, error);
	SPI_finish();
	old = MemoryContextSwitchTo(slice->context);
	slice->waiting = derive_catalog_waiting_events(&slice->processor->row,
												   &slice->nwaiting);
	MemoryContextSwitchTo(old);
	DERIVE_STEP("processor-failed");
}

/* Acknowledges all events up to one. */
static void
ack(Slice *slice, const Event *last)
{
	SPI_connect();
	consume(slice->processor, "SELECT derive.ack($1, $2, $3, $4) WHERE $5 IS NOT NULL",
			last->position, last->token, "");
	SPI_finish();
	DERIVE_STEP("processor-acked");
}

/* ---------- handling ---------- */

char *
derive_processor_call(Oid handler)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(handler));
	Form_pg_proc proc;
	char *sql;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("the handler does not exist any more")));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	sql = psprintf("SELECT %s($1, $2, $3, $4)",
				   quote_qualified_identifier(get_namespace_name(proc->pronamespace),
											  NameStr(proc->proname)));
	ReleaseSysCache(tuple);
	return sql;
}

/* Returns the plan of the call; the caller is connected. */
static SPIPlanPtr
plan_of(Processor *processor)
{
	Oid row = get_rel_type_id(processor->row.source);
	Oid types[4] = {TEXTOID, row, row, JSONBOID};

	if (processor->call == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(derive_processor_call(processor->row.handler), 4,
									  types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the call of a handler");
		processor->call = plan;
	}
	return processor->call;
}

/* Returns a row of an event; isnull: it has none. */
static Datum
row_of(Processor *processor, const Event *event, const char *which, bool *isnull)
{
	JsonbValue value;
	JsonbValue *found = NULL;

	if (event->payload != NULL && JB_ROOT_IS_OBJECT(event->payload))
		found = getKeyJsonValueFromContainer(&event->payload->root, which, strlen(which),
											 &value);
	*isnull = found == NULL || found->type != jbvBinary;
	if (*isnull)
		return (Datum) 0;
	return derive_row_from_texts(processor->row.source, found->val.binary.data);
}

/* Calls the handler. */
static void
call(Processor *processor, const Event *event)
{
	Datum values[4];
	char nulls[5] = "    ";
	SPIPlanPtr plan;

	SPI_connect();
	plan = plan_of(processor);
	values[0] = CStringGetTextDatum(event->op);
	for (int i = 0; i < 2; i++)
	{
		bool isnull;

		values[1 + i] = row_of(processor, event, i == 0 ? "old" : "new", &isnull);
		if (isnull)
			nulls[1 + i] = 'n';
	}
	values[3] = JsonbPGetDatum(event->headers);
	if (SPI_execute_plan(plan, values, nulls, false, 0) < 0)
		elog(ERROR, "could not call the handler");
	SPI_finish();
	DERIVE_STEP("processor-handled");
}

/* Returns what is kept of an error. */
static char *
error_text(const ErrorData *error)
{
	char *text = psprintf("%s (SQLSTATE %s)", error->message,
						  unpack_sql_state(error->sqlerrcode));

	if (strlen(text) > SAVED_TEXT_LEN)
		text[pg_mbcliplen(text, strlen(text), SAVED_TEXT_LEN)] = '\0';
	return text;
}

/* What became of an event. */
typedef enum Outcome
{
	HANDLED,
	FAILED,	   /* error says why */
	REQUESTED, /* it is a request of its own, which ends its group */
	UNDONE	   /* the same, but it has to begin a group */
} Outcome;

/* Calls the handler in a subtransaction; first: of its group. */
static Outcome
try_call(Processor *processor, const Event *event, bool first, const char **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile Outcome outcome = HANDLED;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		call(processor, event);
		if (strcmp(derive_request_id, event->request) != 0)
			outcome = first ? REQUESTED : UNDONE;
		if (outcome == UNDONE)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *caught;

		MemoryContextSwitchTo(context);
		caught = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		*error = error_text(caught);
		outcome = FAILED;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return outcome;
}

/* Handles one event of a group; returns true if the group may go on behind it. */
static bool
handle(Slice *slice, bool first)
{
	Event *event = &slice->events[slice->done];
	MemoryContext context = AllocSetContextCreate(slice->context, "pg_derive handler",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const char *error = NULL;
	Outcome outcome = HANDLED;

	if (!waits(slice, event->position))
		outcome = try_call(slice->processor, event, first, &error);
	if (outcome == FAILED)
		fail(slice, event, error);
	if (outcome != UNDONE)
		slice->done++;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return outcome == HANDLED || outcome == FAILED;
}

/* Handles a group of events in one transaction. */
static void
handle_group(Slice *slice)
{
	int64 end = derive_clock_ms() + GROUP_TIME;
	const char *request = slice->events[slice->done].request;
	char *made;
	OwnerScope scope;
	bool first = true;

	begin(slice->processor, &scope);
	set_request(request);
	SPI_connect();
	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) < 0)
		elog(ERROR, "could not set constraints");
	SPI_finish();
	while (slice->done < slice->n &&
		   strcmp(slice->events[slice->done].request, request) == 0 &&
		   (first || derive_clock_ms() < end))
	{
		bool more = handle(slice, first);

		first = false;
		CHECK_FOR_INTERRUPTS();
		if (!more)
			break;
	}
	ack(slice, &slice->events[slice->done - 1]);
	made = MemoryContextStrdup(slice->context, derive_request_id);
	derive_owner_leave(&scope);
	set_request(made);
	PopActiveSnapshot();
	CommitTransactionCommand();
	DERIVE_STEP("processor-committed");
}

/* Returns when the next failed event is to be tried again, or 0. */
static TimestampTz
next_retry(Processor *processor)
{
	TimestampTz result;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	result = derive_catalog_next_retry(&processor->row);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return result;
}

bool
derive_processor_run(Processor *processor, TimestampTz *look_at)
{
	MemoryContext old = CurrentMemoryContext;
	Slice slice = {.processor = processor};
	bool any;

	slice.context = AllocSetContextCreate(old, "pg_derive events",
										  ALLOCSET_DEFAULT_SIZES);
	fetch(&slice);
	DERIVE_STEP("processor-fetched");
	while (slice.done < slice.n)
		handle_group(&slice);
	any = slice.n > 0;
	*look_at = any ? 0 : next_retry(processor);
	MemoryContextDelete(slice.context);
	MemoryContextSwitchTo(old);
	return any;
}
