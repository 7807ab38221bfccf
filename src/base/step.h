/*-------------------------------------------------------------------------
 *
 * step.h
 *	  Named steps at which a test can make a worker die, see step.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_STEP_H
#define DERIVE_BASE_STEP_H

#include "base/settings.h"

extern const char *const derive_step_names[];

extern void derive_step_reached(const char *name);

/* Marks a step; costs one test of a pointer when pg_derive.debug_step is unset. */
#define DERIVE_STEP(name)                                                        \
	do                                                                           \
	{                                                                            \
		if (unlikely(derive_debug_step != NULL && derive_debug_step[0] != '\0')) \
			derive_step_reached(name);                                           \
	} while (0)

#endif /* DERIVE_BASE_STEP_H */
