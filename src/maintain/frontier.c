/*-------------------------------------------------------------------------
 *
 * frontier.c
 *	  A frontier: exactly which source transactions a view contains.
 *
 * A frontier is the snapshot of the tick that wrote the view.  Visibility in
 * successive snapshots is monotonic, so "visible in the new one and not in the
 * stored one" puts each source transaction into exactly one tick.  Only
 * top-level transaction ids are ever asked for: the reorder buffer names a
 * transaction by its top-level id, so subtransactions do not matter here.
 *
 * Transaction ids are widened to 64 bits, because a stored frontier may be
 * older than a wraparound.  Its text is that of type pg_snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/frontier.h"

#include "access/transam.h"
#include "lib/qunique.h"
#include "lib/stringinfo.h"

static int
compare_xids(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return x < y ? -1 : (x > y ? 1 : 0);
}

/* Returns the 64-bit id of a transaction that is not older than 2^31 others. */
uint64
derive_frontier_widen(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32 epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return ((uint64) epoch << 32) | xid;
}

/* Makes a frontier with room for n running transactions, in CurrentMemoryContext. */
static Frontier *
make_frontier(int n)
{
	Frontier *f = palloc(sizeof(Frontier));

	f->xip = palloc(sizeof(uint64) * Max(n, 1));
	f->nxip = 0;
	return f;
}

/* Makes a frontier of an MVCC snapshot that was taken on a primary. */
Frontier *
derive_frontier_from_snapshot(Snapshot snapshot)
{
	Frontier *f = make_frontier(snapshot->xcnt);

	f->xmin = derive_frontier_widen(snapshot->xmin);
	f->xmax = derive_frontier_widen(snapshot->xmax);
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		f->xip[f->nxip++] = derive_frontier_widen(snapshot->xip[i]);
	qsort(f->xip, f->nxip, sizeof(uint64), compare_xids);
	f->nxip = qunique(f->xip, f->nxip, sizeof(uint64), compare_xids);
	return f;
}

/* Copies a frontier into CurrentMemoryContext. */
Frontier *
derive_frontier_copy(const Frontier *frontier)
{
	Frontier *f = make_frontier(frontier->nxip);

	f->xmin = frontier->xmin;
	f->xmax = frontier->xmax;
	f->nxip = frontier->nxip;
	memcpy(f->xip, frontier->xip, sizeof(uint64) * frontier->nxip);
	return f;
}

/* Frees a frontier; NULL is allowed. */
void
derive_frontier_free(Frontier *frontier)
{
	if (frontier == NULL)
		return;
	pfree(frontier->xip);
	pfree(frontier);
}

/* Parses the text of a pg_snapshot, which comes from our own table. */
Frontier *
derive_frontier_parse(const char *text)
{
	Frontier *f = make_frontier(strlen(text) / 2 + 1);
	char *p;

	f->xmin = strtoull(text, &p, 10);
	f->xmax = strtoull(p + 1, &p, 10);
	for (p++; *p != '\0';)
	{
		f->xip[f->nxip++] = strtoull(p, &p, 10);
		if (*p == ',')
			p++;
	}
	return f;
}

/* Returns a frontier as the text of a pg_snapshot. */
char *
derive_frontier_text(const Frontier *frontier)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, UINT64_FORMAT ":" UINT64_FORMAT ":", frontier->xmin,
					 frontier->xmax);
	for (int i = 0; i < frontier->nxip; i++)
		appendStringInfo(&buf, "%s" UINT64_FORMAT, i > 0 ? "," : "", frontier->xip[i]);
	return buf.data;
}

/* Says whether a committed transaction is contained in the frontier. */
bool
derive_frontier_contains(const Frontier *frontier, uint64 xid)
{
	if (xid < frontier->xmin)
		return true;
	if (xid >= frontier->xmax)
		return false;
	return frontier->nxip == 0 || bsearch(&xid, frontier->xip, frontier->nxip,
										  sizeof(uint64), compare_xids) == NULL;
}
