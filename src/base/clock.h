/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The clock by which pg_derive waits: it never goes back.
 *
 * The time of day may be set back while the server runs.  It serves for what people
 * read; pauses, deadlines and retries are measured with this clock, which all
 * processes of a machine share until it is booted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_CLOCK_H
#define DERIVE_BASE_CLOCK_H

#include "portability/instr_time.h"

/* Returns the milliseconds since some moment before the server's start. */
static inline int64
derive_clock_ms(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

/* Returns the milliseconds from now to a time of this clock, at least 0. */
static inline long
derive_clock_until(int64 time)
{
	int64 now = derive_clock_ms();

	return time > now ? (long) (time - now) : 0;
}

#endif /* DERIVE_BASE_CLOCK_H */
