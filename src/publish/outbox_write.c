/*-------------------------------------------------------------------------
 *
 * outbox_write.c
 *	  From an outbox's log to rows of its table.
 *
 * At the end of the tick one INSERT ... SELECT makes rows of the log, in its order, with
 * the user's expressions, as the outbox's owner.  The rows, the number of the last one
 * and how far the log of the server was read commit with the tick: a crash repeats
 * all or nothing.  An outbox over a derived view first makes a log of the view's delta:
 * rows that share the view's key are one update.
 *
 * If that fails, the rows of the log are written in slices, and those of a slice
 * that fails one by one; one that fails by itself carries the row as payload, no key, and
 * the error in its headers.  If the statement is wrong as such (a function or a column is
 * gone), all do.  A row that cannot be jsonb (a json with a zero character, what is too
 * long) is a gap, with the error.  So nothing is left out and nothing waits.
 *
 * If even that fails (the owner may not write), or what failed may be no matter of a row (a
 * lock that could not be had, the disk), the error is noted
 * with the outbox and the worker starts again: then the outbox stays behind until
 * its time has come, and the rest goes on.  So it does if the owner may not read the source
 * any more: what happens there is not the owner's to know.
 *
 * Runs in the applier, in the tick's transaction and memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/owner.h"
#include "catalog/pg_type.h"
#include "maintain/delta_query.h"
#include "miscadmin.h"
#include "publish/outbox.h"
#include "publish/outbox_private.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define SLICE 256		  /* rows that are tried together after an error */
#define VIEW_FETCH 1000	  /* pairs of rows of a view that are in memory at a time */
#define RETRY_FIRST 1000L /* ms until events that could not be written are tried again */
#define RETRY_DOUBLINGS 8

static Oid writing = InvalidOid; /* the outbox that is being written */

bool
derive_outbox_is_writing(Oid relid)
{
	return relid == writing;
}

/* Becomes the owner of an outbox, who reads names by the path of its creation. */
static void
enter_owner(OwnerScope *scope, const CatalogOutbox *row, Oid owner)
{
	derive_owner_enter(scope, owner);
	(void) set_config_option("search_path", row->path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("standard_conforming_strings", "on", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Prepares a statement; the caller is connected and has registered what it reads. */
static SPIPlanPtr
prepare(const char *sql)
{
	Oid types[2] = {INT8OID, TEXTOID};
	SPIPlanPtr plan = SPI_prepare(sql, 2, types);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	return plan;
}

void
derive_outbox_check(const CatalogOutbox *row)
{
	EventLog *log = derive_event_log_make(CurrentMemoryContext, row->source);
	OwnerScope scope;

	SPI_connect();
	enter_owner(&scope, row, GetUserId());
	derive_query_register(LOG_NAME, log->desc, NULL, 0);
	/* first each by itself, where no aggregates and sets may stand: for the messages */
	if (row->key != NULL)
		(void) prepare(psprintf("SELECT FROM (SELECT (new).* FROM " LOG_NAME ") r"
								" WHERE (%s\n)::pg_catalog.text IS NULL",
								row->key));
	if (row->payload != NULL)
		(void) prepare(psprintf("SELECT FROM " LOG_NAME
								" WHERE pg_catalog.to_jsonb((%s\n)) IS NULL",
								row->payload));
	if (row->filter != NULL)
		(void) prepare(psprintf("SELECT FROM " LOG_NAME " WHERE (%s\n)", row->filter));
	(void) prepare(derive_outbox_write_sql(row, NIL, PLAN_WRITE_IDS));
	derive_owner_leave(&scope);
	SPI_finish();
	derive_event_log_free(log);
}

void
derive_outbox_forget_plans(Outbox *outbox)
{
	for (int i = 0; i < OUTBOX_PLANS; i++)
	{
		if (outbox->plans[i] != NULL)
			SPI_freeplan(outbox->plans[i]);
		outbox->plans[i] = NULL;
	}
}

/* Returns a plan that is kept; the caller is connected and has registered what it reads. */
static SPIPlanPtr
kept_plan(Outbox *outbox, OutboxPlan which)
{
	SPIPlanPtr plan = outbox->plans[which];

	if (plan != NULL)
		return plan;
	plan = prepare(
		which == PLAN_READ_VIEW
			? derive_outbox_view_sql(&outbox->row, outbox->source_key)
			: derive_outbox_write_sql(&outbox->row, outbox->source_key, which));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a plan");
	outbox->plans[which] = plan;
	return plan;
}

/* Fills an outbox's log with a view's delta. */
static void
read_view(Outbox *outbox, SourceDelta *delta, XLogRecPtr lsn)
{
	Origin origin = {0, lsn, GetCurrentTransactionStartTimestamp()};
	Datum values[2] = {0};
	Portal portal;
	OwnerScope scope;

	SPI_connect();
	enter_owner(&scope, &outbox->row, outbox->owner);
	derive_query_register(DELTA_NAME, delta->desc, delta->rows, delta->nrows);
	portal = SPI_cursor_open(NULL, kept_plan(outbox, PLAN_READ_VIEW), values, "nn", true);
	do
	{
		SPI_cursor_fetch(portal, true, VIEW_FETCH);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			Datum rows[2];
			bool isnull;

			for (int j = 0; j < 2; j++)
			{
				rows[j] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										j + 1, &isnull);
				if (isnull)
					rows[j] = (Datum) 0;
			}
			derive_event_log_add_rows(outbox->log, &origin, rows[0], rows[1]);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	derive_owner_leave(&scope);
	SPI_finish();
}

/* Writes rows of the log as the owner; error: goes into headers, or NULL. */
static void
insert_rows(Outbox *outbox, Tuplestorestate *rows, int64 nrows, OutboxPlan which,
			const char *error)
{
	Datum values[2] = {Int64GetDatum(outbox->row.position), (Datum) 0};
	OwnerScope scope;

	SPI_connect();
	enter_owner(&scope, &outbox->row, outbox->owner);
	derive_query_register(LOG_NAME, outbox->log->desc, rows, nrows);
	if (error != NULL)
		values[1] = CStringGetTextDatum(error);
	if (SPI_execute_plan(kept_plan(outbox, which), values, error != NULL ? NULL : " n",
						 false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write events");
	outbox->row.position += SPI_processed;
	derive_owner_leave(&scope);
	SPI_finish();
}

/*
 * Says whether an error may be that of a moment or of the place, and not of a row.  If it has
 * come back often enough, it is a row's: expressions can throw whatever they like.
 */
static bool
is_transient(const Outbox *outbox, const ErrorData *error)
{
	static const int classes[] = {
		ERRCODE_TRANSACTION_ROLLBACK,  ERRCODE_INSUFFICIENT_RESOURCES,
		ERRCODE_OPERATOR_INTERVENTION, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
		ERRCODE_SYSTEM_ERROR,		   ERRCODE_INTERNAL_ERROR};

	for (int i = 0; outbox->patient && i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(classes[i]))
			return true;
	return false;
}

/* Inserts rows in a subtransaction; returns the error that undid it, or NULL. */
static ErrorData *
try_insert(Outbox *outbox, Tuplestorestate *rows, int64 nrows, OutboxPlan which,
		   const char *error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int64 position = outbox->row.position;
	ErrorData *volatile caught = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		writing = outbox->row.outbox;
		insert_rows(outbox, rows, nrows, which, error);
		writing = InvalidOid;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		writing = InvalidOid;
		MemoryContextSwitchTo(context);
		caught = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		outbox->row.position = position;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return caught;
}

/*
 * Notes in a transaction of its own that an outbox cannot be written, and until when it is to
 * be left alone; then throws, which ends this process and undoes the tick.
 */
static void
give_up(Outbox *outbox, const char *error)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_derive failure",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	char *name = derive_outbox_name(outbox->row.outbox);
	CatalogOutbox *row;
	ListCell *lc;

	error = pstrdup(error);
	MemoryContextSwitchTo(old);
	AbortCurrentTransaction();
	StartTransactionCommand();
	ForceSyncCommit();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	foreach (lc, derive_catalog_read_outboxes())
	{
		row = lfirst(lc);
		if (row->id != outbox->row.id)
			continue;
		row->retry_at = TimestampTzPlusMilliseconds(
			GetCurrentTimestamp(), RETRY_FIRST << Min(row->failures, RETRY_DOUBLINGS));
		row->failures++;
		row->gap |= outbox->row.gap;
		row->published = outbox->cursor;
		row->reason = unconstify(char *, error);
		derive_catalog_write_outbox(row);
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("could not write to outbox %s: %s", name, error),
					errdetail("The outbox stays behind; the pipeline starts again "
							  "without it.")));
}

/* Returns the statement by which rows are written if nothing is wrong. */
static OutboxPlan
usual_plan(const Outbox *outbox)
{
	return outbox->log->ids != NULL ? PLAN_WRITE_IDS : PLAN_WRITE;
}

/* Writes a row of the log, with less and less in it. */
static void
write_row(Outbox *outbox, Tuplestorestate *row)
{
	ErrorData *error = try_insert(outbox, row, 1, usual_plan(outbox), NULL);
	const char *reason = error != NULL ? error->message : NULL;

	for (int which = PLAN_WRITE_RAW;
		 which <= PLAN_WRITE_GAP && error != NULL && !is_transient(outbox, error);
		 which++)
		error = try_insert(outbox, row, 1, which, reason);
	if (error != NULL)
		give_up(outbox, error->message);
}

/* Writes a slice of the log that has failed as a whole, row by row. */
static void
write_rows(Outbox *outbox, Tuplestorestate *slice)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(outbox->log->desc,
													&TTSOpsMinimalTuple);

	tuplestore_rescan(slice);
	while (tuplestore_gettupleslot(slice, true, false, slot))
	{
		Tuplestorestate *one = tuplestore_begin_heap(false, false, work_mem);

		CHECK_FOR_INTERRUPTS();
		tuplestore_puttupleslot(one, slot);
		write_row(outbox, one);
		tuplestore_end(one);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Writes a log whose writing as a whole has failed: by slices; or, if no row can be better than
 * another, because the statement itself is wrong by now, without the expressions.
 */
static void
write_otherwise(Outbox *outbox, ErrorData *error)
{
	EventLog *log = outbox->log;
	Tuplestorestate *slice;
	int64 n;

	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
			ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION) &&
		try_insert(outbox, log->rows, log->nrows, PLAN_WRITE_RAW, error->message) == NULL)
		return;
	tuplestore_rescan(log->rows);
	while ((slice = derive_event_log_slice(log, SLICE, &n)) != NULL)
	{
		if (try_insert(outbox, slice, n, usual_plan(outbox), NULL) != NULL)
			write_rows(outbox, slice);
		tuplestore_end(slice);
	}
}

/* Gives up if the owner may not read the source, which statements over the log do not ask. */
static void
check_owner(Outbox *outbox)
{
	Oid source = outbox->row.source;

	if (!OidIsValid(source))
		return;
	if (pg_class_aclcheck(source, outbox->owner, ACL_SELECT) != ACLCHECK_OK)
		give_up(outbox, psprintf("permission denied for table %s", get_rel_name(source)));
	if (check_enable_rls(source, outbox->owner, true) == RLS_ENABLED)
		give_up(outbox, psprintf("row-level security of table %s applies to the owner",
								 get_rel_name(source)));
}

int64
derive_outbox_write(Outbox *outbox, SourceDelta *delta, XLogRecPtr lsn)
{
	int64 before = outbox->row.position;
	ErrorData *error;

	if (delta != NULL || outbox->log->nrows > 0)
		check_owner(outbox);
	if (delta != NULL)
		read_view(outbox, delta, lsn);
	if (outbox->log->nrows > 0)
	{
		error = try_insert(outbox, outbox->log->rows, outbox->log->nrows,
						   usual_plan(outbox), NULL);
		if (error != NULL && is_transient(outbox, error))
			give_up(outbox, error->message);
		if (error != NULL)
		{
			ereport(WARNING,
					(errmsg("events of outbox \"%s\" cannot be written together: %s",
							get_rel_name(outbox->row.outbox), error->message)));
			write_otherwise(outbox, error);
		}
		outbox->row.gap = false;
		outbox->changed = true;
	}
	if (outbox->changed)
	{
		SPI_connect();
		derive_catalog_write_outbox(&outbox->row);
		SPI_finish();
		outbox->changed = false;
	}
	return outbox->row.position - before;
}
