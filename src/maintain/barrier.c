/*-------------------------------------------------------------------------
 *
 * barrier.c
 *	  When a new view may be built.
 *
 * When the decoder's interest changes (a new view), commits up to
 * some position P were filtered by the old interest.  A view may be built only
 * under a snapshot that contains all of them.  Those whose commit record precedes
 * P but which have not left the proc array yet are found after P is known: wait
 * for those between writing their commit record and pg_xact (they count as
 * delaying a checkpoint; that takes microseconds), then note which running
 * transactions pg_xact calls committed.  A later snapshot that contains these
 * contains everything up to P.
 *
 * Runs in the applier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/barrier.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Waits for all that are between their commit record and pg_xact. */
static void
wait_for_commits_under_way(void)
{
	int n;
	VirtualTransactionId *vxids = GetVirtualXIDsDelayingChkpt(&n, DELAY_CHKPT_START);

	while (n > 0 && HaveVirtualXIDsDelayingChkpt(vxids, n, DELAY_CHKPT_START))
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(100L);
	}
	pfree(vxids);
}

void
derive_barrier_take(Barrier *barrier, MemoryContext context, uint32 version)
{
	Snapshot snapshot;

	wait_for_commits_under_way();
	snapshot = GetLatestSnapshot();
	if (barrier->xids != NULL)
		pfree(barrier->xids);
	barrier->xids = MemoryContextAlloc(context, sizeof(uint64) * Max(snapshot->xcnt, 1));
	barrier->nxids = 0;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		if (TransactionIdDidCommit(snapshot->xip[i]))
			barrier->xids[barrier->nxids++] = derive_frontier_widen(snapshot->xip[i]);
	barrier->version = version;
	barrier->fresh = true;
}

bool
derive_barrier_passed(const Barrier *barrier, uint32 version, const Frontier *next)
{
	if (barrier->version < version || barrier->fresh)
		return false;
	for (int i = 0; i < barrier->nxids; i++)
		if (!derive_frontier_contains(next, barrier->xids[i]))
			return false;
	return true;
}
