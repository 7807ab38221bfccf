/*-------------------------------------------------------------------------
 *
 * gap.c
 *	  Whether the log leads on from the stored frontier.
 *
 * The frontier's row travels with the database: into base backups and standbys, into a
 * copy made by CREATE DATABASE ... TEMPLATE, through pg_upgrade.  The slot does not, or not
 * at the same time.  So before the applier goes on from the row it asks whether this
 * server, database and slot are those that the row was written with:
 *
 *  - another system identifier: pg_upgrade, or files put into another cluster;
 *  - another database: a copy;
 *  - another timeline: a standby was promoted, or a backup restored.  A slot that lies
 *    there comes from another history, unless it was synchronized while this was a standby;
 *  - no slot, or one that the server has invalidated;
 *  - a slot that was confirmed beyond the row.  This never happens here, because the row
 *    is on disk before the slot is confirmed; but somebody may have advanced the slot, or
 *    a synchronized one may be ahead of the standby's copy of the row;
 *  - a row that is ahead of the server, which lost a part of its history.
 *
 * Anything of this makes all views stale.  pg_dump leaves the row out; what it carries
 * is noticed view by view (view_set.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/gap.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "base/settings.h"
#include "capture/stream.h"
#include "maintain/frontier.h"
#include "miscadmin.h"

/* Says whether a stored frontier knows of more than this server does. */
static bool
is_ahead(const CatalogFrontier *stored)
{
	Frontier *frontier = derive_frontier_parse(stored->frontier);
	bool ahead = stored->applied_lsn > GetXLogInsertRecPtr() ||
				 frontier->xmax > U64FromFullTransactionId(ReadNextFullTransactionId());

	derive_frontier_free(frontier);
	return ahead;
}

/* Returns why the slot does not lead on from the stored frontier, or NULL. */
static const char *
slot_gap(const CatalogFrontier *stored, const SlotState *slot, bool shed)
{
	if (!slot->exists && shed)
		return psprintf("more log than pg_derive.max_retained_wal (%d MB) was retained",
						derive_max_retained_wal);
	if (!slot->exists)
		return DERIVE_GAP_NO_SLOT;
	if (slot->lost != NULL)
		return psprintf("the replication slot was invalidated: %s", slot->lost);
	if (slot->confirmed_lsn > stored->restart_lsn)
		return "the replication slot is ahead of what was applied";
	return NULL;
}

const char *
derive_gap_find(const CatalogFrontier *stored, bool shed)
{
	TimeLineID timeline = GetWALInsertionTimeLine();
	SlotState slot;

	if (stored->system_identifier != GetSystemIdentifier())
		return "the database comes from another server or was upgraded";
	if (stored->database != MyDatabaseId)
		return "the database is a copy of another one";
	derive_stream_slot_state(MyDatabaseId, &slot);
	if (stored->timeline != timeline && !slot.synced)
		return psprintf("the server was promoted or restored from a backup (timeline %u "
						"became %u)",
						stored->timeline, timeline);
	if (is_ahead(stored))
		return "the stored frontier is ahead of the server's log";
	return slot_gap(stored, &slot, shed);
}
