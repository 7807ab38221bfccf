/*-------------------------------------------------------------------------
 *
 * lsn.c
 *	  Positions in the write-ahead log that a reader can reach.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/lsn.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"

/*
 * Returns the end of the record before an insert position.  At the start of a
 * page the insert position points behind the page's header, which the end of the
 * last record, on the page before, does not reach.
 */
XLogRecPtr
derive_lsn_reachable(XLogRecPtr lsn)
{
	if (XLogSegmentOffset(lsn, wal_segment_size) == SizeOfXLogLongPHD)
		return lsn - SizeOfXLogLongPHD;
	if (lsn % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return lsn - SizeOfXLogShortPHD;
	return lsn;
}
