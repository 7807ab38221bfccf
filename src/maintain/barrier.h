/*-------------------------------------------------------------------------
 *
 * barrier.h
 *	  When a new view may be built, see barrier.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_BARRIER_H
#define DERIVE_MAINTAIN_BARRIER_H

#include "maintain/frontier.h"

/*
 * After the decoder's interest has changed, commits at or before the position of
 * the change may lack rows.  A view can be built once a snapshot contains them
 * all.
 */
typedef struct Barrier
{
	uint32 version; /* interest that is known to be in force; 0: none yet */
	bool fresh;		/* taken in this tick, whose snapshot is older than it */
	int nxids;
	uint64 *xids; /* committed, but still running, when it was taken */
} Barrier;

/* Takes the barrier for an interest that has just been found to be in force. */
extern void derive_barrier_take(Barrier *barrier, MemoryContext context, uint32 version);

/* Says whether what needs this interest may be built under a tick's snapshot. */
extern bool
derive_barrier_passed(const Barrier *barrier, uint32 version, const Frontier *next);

#endif /* DERIVE_MAINTAIN_BARRIER_H */
