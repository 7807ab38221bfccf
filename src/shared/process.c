/*-------------------------------------------------------------------------
 *
 * process.c
 *	  What every background worker of pg_derive does at its start.
 *
 * ALTER DATABASE … SET and ALTER ROLE … SET reach background workers.  Settings
 * that could make a worker stop, wait or mean another object are overridden with
 * the strongest source, so that a reload leaves them alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared/process.h"

#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "shared/commit_hook.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

static const char *const overrides[][2] = {
	{"default_transaction_deferrable", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"lock_timeout", "0"},
	{"search_path", "pg_catalog, pg_temp"},
	{"statement_timeout", "0"},
	{"temp_file_limit", "-1"},
	{"transaction_timeout", "0"}, /* from 17 on */
};

/*
 * Installs signal handlers and unblocks signals.  Until here the process ignored SIGHUP:
 * what it has of the configuration may be older than a reload that it never heard of, so
 * that it reads the files once more.
 */
void
derive_process_start_as_writer(void)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	ConfigReloadPending = true;
	BackgroundWorkerUnblockSignals();
}

/* The same, and keeps the commit hook out. */
void
derive_process_start(void)
{
	derive_commit_hook_disable();
	derive_process_start_as_writer();
}

/* Overrides the settings listed above, those that this server knows. */
void
derive_process_override_settings(void)
{
	for (int i = 0; i < lengthof(overrides); i++)
		if (GetConfigOption(overrides[i][0], true, false) != NULL)
			SetConfigOption(overrides[i][0], overrides[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* Re-reads the configuration files after a SIGHUP, and once at the start. */
void
derive_process_reload(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}
