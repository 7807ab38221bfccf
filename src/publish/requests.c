/*-------------------------------------------------------------------------
 *
 * requests.c
 *	  Forgetting old requests.
 *
 * The key of a request has no time in it, so the table cannot be partitioned by time; the
 * applier deletes what is too old, the oldest first, between ticks and in a transaction of
 * its own, a few at a time, so that no view waits for long.  It waits for nobody: rows that
 * are locked, or a table that is being dropped, have time until the next round.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "publish/requests.h"

#include "access/xact.h"
#include "base/settings.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define BATCH 1000

/* Locks the table without waiting; false if it cannot be had. */
static bool
lock_table(void)
{
	Oid schema = get_namespace_oid("derive_state", true);
	Oid table = OidIsValid(schema) ? get_relname_relid("request", schema) : InvalidOid;

	return OidIsValid(table) && ConditionalLockRelationOid(table, RowExclusiveLock) &&
		   get_rel_name(table) != NULL;
}

bool
derive_requests_forget(void)
{
	Oid types[1] = {TIMESTAMPTZOID};
	Datum values[1];
	uint64 deleted = 0;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (lock_table())
	{
		values[0] = TimestampTzGetDatum(GetCurrentTimestamp() -
										(int64) derive_request_retention * USECS_PER_SEC);
		PushActiveSnapshot(GetTransactionSnapshot());
		SPI_connect();
		if (SPI_execute_with_args(
				"DELETE FROM derive_state.request d USING"
				" (SELECT r.role, r.id FROM derive_state.request r"
				" WHERE r.created_at OPERATOR(pg_catalog.<) $1 ORDER BY r.created_at"
				" LIMIT " CppAsString2(
					BATCH) " FOR UPDATE SKIP LOCKED) o"
						   " WHERE d.role OPERATOR(pg_catalog.=) o.role"
						   " AND d.id OPERATOR(pg_catalog.=) o.id",
				1, types, values, NULL, false, 0) != SPI_OK_DELETE)
			elog(ERROR, "could not delete old requests");
		deleted = SPI_processed;
		SPI_finish();
		PopActiveSnapshot();
	}
	CommitTransactionCommand();
	return deleted == BATCH;
}
