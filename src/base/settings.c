/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The settings of pg_derive, sorted by name.
 *
 * They are defined by _PG_init while shared_preload_libraries are loaded, so
 * that every process has them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "base/request_id.h"
#include "base/settings.h"
#include "utils/guc.h"

int derive_audit_rate = 10;
int derive_batch_memory = 32 * 1024;
int derive_database_workers = 8;
char *derive_debug_step = NULL;
bool derive_log_ticks = false;
int derive_max_retained_wal = 16 * 1024;
int derive_request_retention = 7 * 24 * 60 * 60;
int derive_tick_interval = 0;

/* Defines all settings and reserves the prefix. */
void
derive_settings_define(void)
{
	DefineCustomIntVariable(
		"pg_derive.audit_rate",
		"Sets the number of keys per second that are compared with their views' queries.",
		"Zero turns audits off.", &derive_audit_rate, 10, 0, 100000, PGC_SIGHUP, 0, NULL,
		NULL, NULL);
	DefineCustomIntVariable(
		"pg_derive.batch_memory",
		"Sets the memory that the changes of one tick may take before they spill to disk.",
		NULL, &derive_batch_memory, 32 * 1024, 64, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB,
		NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pg_derive.database_workers",
		"Sets the number of databases of this server that can have a pipeline.",
		"Each takes two background workers of max_worker_processes, three where there are "
		"processors, and one replication slot.",
		&derive_database_workers, 8, 1, 1024, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"pg_derive.debug_step",
		"Makes a worker fail at a named step, for tests of recovery.",
		"Form: step:kill or step:error. The steps are listed by derive_state.debug_steps().",
		&derive_debug_step, "", PGC_SIGHUP, GUC_NOT_IN_SAMPLE | GUC_SUPERUSER_ONLY, NULL,
		NULL, NULL);
	DefineCustomBoolVariable("pg_derive.log_ticks",
							 "Logs each tick: transactions, rows, time.", NULL,
							 &derive_log_ticks, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pg_derive.max_retained_wal",
		"Sets the write-ahead log that a pipeline may retain.",
		"Past it the slot is given up, and views are repaired by recompute. Zero is no limit.",
		&derive_max_retained_wal, 16 * 1024, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_MB,
		NULL, NULL, NULL);
	DefineCustomStringVariable(
		"pg_derive.request_id",
		"Sets the id of the request that the session's transactions serve.",
		"It goes into the headers of the events that follow from their changes.",
		&derive_request_id, "", PGC_USERSET, 0, derive_request_id_check, NULL, NULL);
	DefineCustomIntVariable("pg_derive.request_retention",
							"Sets for how long derive.request remembers a request.", NULL,
							&derive_request_retention, 7 * 24 * 60 * 60, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pg_derive.tick_interval", "Sets the least time between the starts of two ticks.",
		"Zero lets pg_derive choose: at once after a pause, about 10 ms under load.",
		&derive_tick_interval, 0, 0, 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL,
		NULL);

	MarkGUCPrefixReserved("pg_derive");
}
