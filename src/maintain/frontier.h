/*-------------------------------------------------------------------------
 *
 * frontier.h
 *	  A frontier: exactly which source transactions a view contains.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_FRONTIER_H
#define DERIVE_MAINTAIN_FRONTIER_H

#include "utils/snapshot.h"

/* A snapshot in 64-bit transaction ids, which never wrap around. */
typedef struct Frontier
{
	uint64 xmin; /* everything below is contained, if it committed */
	uint64 xmax; /* nothing at or above is */
	int nxip;
	uint64 *xip; /* [nxip] in progress between the two, ascending */
} Frontier;

extern uint64 derive_frontier_widen(TransactionId xid);
extern Frontier *derive_frontier_from_snapshot(Snapshot snapshot);
extern Frontier *derive_frontier_copy(const Frontier *frontier);
extern void derive_frontier_free(Frontier *frontier);
extern Frontier *derive_frontier_parse(const char *text);
extern char *derive_frontier_text(const Frontier *frontier);
extern bool derive_frontier_contains(const Frontier *frontier, uint64 xid);

#endif /* DERIVE_MAINTAIN_FRONTIER_H */
