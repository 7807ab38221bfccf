/*-------------------------------------------------------------------------
 *
 * init.c
 *	  Where the library starts.
 *
 * Everything that counts needs the library in shared_preload_libraries: shared
 * memory, workers, and the commit callback in every backend.  Loaded later, by a
 * SQL function, it does nothing but let that function say so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/hooks.h"
#include "base/settings.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "shared/commit_hook.h"
#include "shared/pipeline.h"
#include "shared/view_stats.h"
#include "worker/launcher.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* Sets up settings, shared memory, hooks and the launcher. */
void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	derive_settings_define();
	derive_pipeline_init();
	derive_view_stats_init();
	derive_commit_hook_init();
	derive_hooks_init();
	derive_launcher_register();
}
