/*-------------------------------------------------------------------------
 *
 * request_functions.c
 *	  derive.request and derive.request_done: what was asked for by an id is done once.
 *
 * A request is a row of derive_state.request, inserted in the caller's transaction and
 * unique by role and id.  So whoever makes it at the same time waits in the unique index
 * until that transaction ends: then it finds the row, or inserts its own.  That takes a new
 * snapshot per statement; with a fixed one (REPEATABLE READ and up) a row that it cannot see
 * is a serialization failure.
 *
 * A request whose transaction committed without a result is made, and stays so: what it did
 * is there.  A duplicate gets NULL, until request_done stores a result.
 *
 * The role is the one with whose rights the function is called: within a SECURITY DEFINER
 * function, or the handler of a processor, its owner.  The table is read and written as the
 * bootstrap superuser; no other role has any rights on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/owner.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(derive_request);
PG_FUNCTION_INFO_V1(derive_request_done);

#define ROW_OF_REQUEST \
	"role OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND id OPERATOR(pg_catalog.=) $2"

/* Runs a statement of role, id and a jsonb or NULL; returns the number of its rows. */
static uint64
run(const char *sql, Oid role, Datum id, const NullableDatum *json)
{
	Oid types[3] = {OIDOID, UUIDOID, JSONBOID};
	Datum values[3] = {ObjectIdGetDatum(role), id, json->value};
	char nulls[4] = {' ', ' ', json->isnull ? 'n' : ' ', '\0'};

	if (SPI_execute_with_args(sql, 3, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	return SPI_processed;
}

/* Returns an id as text. */
static char *
id_text(Datum id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, id));
}

/*
 * Makes a request of the current user, or finds it made; result: in the caller's memory
 * context.  Returns true if it is the first.
 */
static bool
make_request(Datum id, const NullableDatum *params, NullableDatum *result)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid role = GetUserId();
	OwnerScope scope;
	bool first;
	bool isnull;

	SPI_connect();
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	result->isnull = true;
	for (;;)
	{
		first = run("INSERT INTO derive_state.request (role, id, params)"
					" VALUES ($1, $2, $3) ON CONFLICT (role, id) DO NOTHING",
					role, id, params) == 1;
		/* none: it has just been forgotten */
		if (first || run("SELECT result, params IS DISTINCT FROM $3"
						 " FROM derive_state.request WHERE " ROW_OF_REQUEST,
						 role, id, params) == 1)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	if (!first)
	{
		HeapTuple row = SPI_tuptable->vals[0];
		Datum value;

		if (DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull)))
			ereport(ERROR, (errcode(ERRCODE_DERIVE_REQUEST_DIFFERS),
							errmsg("request %s was made with other params", id_text(id)),
							errhint("A new request needs a new id.")));
		value = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &result->isnull);
		if (!result->isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(caller);

			result->value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
			MemoryContextSwitchTo(old);
		}
	}
	derive_owner_leave(&scope);
	SPI_finish();
	return first;
}

/* derive.request(id, params) → table(first, result) */
Datum
derive_request(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	NullableDatum params = {PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1),
							PG_ARGISNULL(1)};
	NullableDatum result;
	Datum values[2];
	bool nulls[2] = {false, true};

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("a request's id must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	values[0] = BoolGetDatum(make_request(PG_GETARG_DATUM(0), &params, &result));
	values[1] = result.value;
	nulls[1] = result.isnull;
	(void) set_config_option("pg_derive.request_id", id_text(PG_GETARG_DATUM(0)),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
							 false);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/* derive.request_done(id, result) */
Datum
derive_request_done(PG_FUNCTION_ARGS)
{
	NullableDatum result = {PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1),
							PG_ARGISNULL(1)};
	Oid role = GetUserId();
	OwnerScope scope;
	Datum id;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("a request's id must not be null")));
	id = PG_GETARG_DATUM(0);
	SPI_connect();
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	if (run("UPDATE derive_state.request SET result = $3,"
			" done_at = pg_catalog.clock_timestamp()"
			" WHERE " ROW_OF_REQUEST " AND done_at IS NULL",
			role, id, &result) == 0)
	{
		if (run("SELECT FROM derive_state.request WHERE $3 IS NULL AND " ROW_OF_REQUEST,
				role, id, &(NullableDatum){(Datum) 0, true}) == 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
							errmsg("role \"%s\" has made no request %s",
								   GetUserNameFromId(role, false), id_text(id)),
							errhint("derive.request makes one.")));
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("request %s has a result already", id_text(id)),
						errdetail("Those who made it again may have been given it.")));
	}
	derive_owner_leave(&scope);
	SPI_finish();
	PG_RETURN_VOID();
}
