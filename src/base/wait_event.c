/*-------------------------------------------------------------------------
 *
 * wait_event.c
 *	  What our processes and callers wait for, as pg_stat_activity names it.
 *
 * From 17 on the names below are shown as wait_event, with wait_event_type "Extension".
 * Older servers know but one event of that type, called "Extension".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/wait_event.h"

/* In the order of DeriveWaitEvent. */
static const char *const names[] = {"DeriveApplierMain",	"DeriveDatabaseHold",
									"DeriveDecoderMain",	"DeriveDecoderPeer",
									"DeriveEvents",			"DeriveLauncherMain",
									"DerivePipeline",		"DeriveProcessorMain",
									"DeriveVerifyFrontier", "DeriveViews"};

/* Returns an event's number for the functions that sleep. */
uint32
derive_wait_event(DeriveWaitEvent event)
{
	static uint32 numbers[lengthof(names)];

	if (numbers[event] == 0)
		numbers[event] = derive_compat_wait_event(names[event]);
	return numbers[event];
}
