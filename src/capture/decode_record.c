/*-------------------------------------------------------------------------
 *
 * decode_record.c
 *	  One record of the log, also before decoding can start.
 *
 * While other transactions run, core finds its way into the log in three steps, each of which
 * lasts until the transactions of the step before have ended (snapbuild.c).  In the
 * second, SNAPBUILD_BUILDING_SNAPSHOT, it looks at no commit.  But who begins and
 * commits in it is neither one of those that the first snapshot of the catalogs takes from
 * the commit log, since they ended before, nor one whose commit is seen later: what such a
 * transaction did to the catalogs stays invisible, until another change of them comes
 * along.  Rows of a table that it truncated cannot be decoded ("could not map filenode to
 * relation OID"), and those of one that it altered are read as they were before.
 *
 * So here commits of that step which changed the catalogs are told to the snapshot builder,
 * as core does in the next steps.  That they did is known from their invalidations.  The
 * reorder buffer only learns of them to be asked by the builder, and forgets them again.
 *
 * Used when a slot is made, and when decoding starts again where that began.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/decode_record.h"

#include "access/xact.h"
#include "access/xlogreader.h"
#include "base/compat.h"
#include "replication/decode.h"
#include "replication/reorderbuffer.h"
#include "replication/snapbuild.h"

/* Tells the snapshot builder of a commit, if it changed the catalogs. */
static void
note_commit(LogicalDecodingContext *ctx)
{
	XLogReaderState *reader = ctx->reader;
	XLogRecPtr lsn = reader->ReadRecPtr;
	xl_xact_parsed_commit commit;
	TransactionId xid;

	ParseCommitRecord(XLogRecGetInfo(reader), (xl_xact_commit *) XLogRecGetData(reader),
					  &commit);
	if ((commit.xinfo & XACT_XINFO_HAS_INVALS) == 0)
		return;
	xid = TransactionIdIsValid(commit.twophase_xid) ? commit.twophase_xid
													: XLogRecGetXid(reader);
	ReorderBufferXidSetCatalogChanges(ctx->reorder, xid, lsn);
	for (int i = 0; i < commit.nsubxacts; i++)
		ReorderBufferXidSetCatalogChanges(ctx->reorder, commit.subxacts[i], lsn);
	derive_compat_snapshot_commit(ctx->snapshot_builder, lsn, xid, &commit);
	for (int i = 0; i < commit.nsubxacts; i++)
		ReorderBufferForget(ctx->reorder, commit.subxacts[i], lsn);
	ReorderBufferForget(ctx->reorder, xid, lsn);
}

void
derive_decode_record(LogicalDecodingContext *ctx)
{
	if (SnapBuildCurrentState(ctx->snapshot_builder) == SNAPBUILD_BUILDING_SNAPSHOT &&
		XLogRecGetRmid(ctx->reader) == RM_XACT_ID)
	{
		uint8 operation = XLogRecGetInfo(ctx->reader) & XLOG_XACT_OPMASK;

		if (operation == XLOG_XACT_COMMIT || operation == XLOG_XACT_COMMIT_PREPARED)
			note_commit(ctx);
	}
	LogicalDecodingProcessRecord(ctx, ctx->reader);
}
