/*-------------------------------------------------------------------------
 *
 * step.c
 *	  Named steps at which a test can make a worker die.
 *
 * Invariant 3 (exactly once) says that a crash anywhere repeats a tick or
 * skips it whole.  The crash test walks through this list, sets
 * pg_derive.debug_step to each in turn and compares view and query afterwards.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "base/step.h"
#include "utils/elog.h"

/* Every name that occurs in a DERIVE_STEP, in the order in which they are met. */
const char *const derive_step_names[] = {
	"decoder-start",	  "decoder-slot-created", "decoder-commit",
	"decoder-progress",	  "decoder-confirm",	  "tick-start",
	"tick-snapshot",	  "tick-drained",		  "tick-view",
	"tick-state-written", "tick-target-written",  "tick-recomputed",
	"tick-published",	  "tick-frontier",		  "tick-commit",
	"tick-committed",	  "tick-confirm",		  "processor-start",
	"processor-fetched",  "processor-handled",	  "processor-failed",
	"processor-acked",	  "processor-committed",  NULL};

/* Dies or throws if pg_derive.debug_step names this step. */
void
derive_step_reached(const char *name)
{
	size_t len = strlen(name);

	if (strncmp(derive_debug_step, name, len) != 0 || derive_debug_step[len] != ':')
		return;
	if (strcmp(derive_debug_step + len + 1, "kill") == 0)
		kill(getpid(), SIGKILL);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("stopped at step \"%s\" as pg_derive.debug_step asks", name)));
}
