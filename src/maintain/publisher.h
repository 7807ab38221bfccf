/*-------------------------------------------------------------------------
 *
 * publisher.h
 *	  What a tick asks of those who publish what happened (src/publish).
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_PUBLISHER_H
#define DERIVE_MAINTAIN_PUBLISHER_H

#include "maintain/batch.h"

typedef struct Publisher Publisher;

struct Publisher
{
	CommitSink sink;
	bool reread; /* the catalog must be read again before the next tick */
	bool
		moved; /* this tick changed who is as far as the pipeline: store how far that is */

	/*
	 * In a reload's transaction, after the catalog changed: reads it, and returns the
	 * oids of the relations whose every change is wanted, in CurrentMemoryContext.
	 */
	List *(*read_catalog)(Publisher *publisher);

	/* In a tick, before its snapshot: takes locks without waiting; sets sink's from, behind. */
	void (*begin)(Publisher *publisher);

	/* After begin: says whether a derived view must stay behind with who publishes it. */
	bool (*holds)(Publisher *publisher, Oid view);

	/*
	 * In a tick, after the views: writes what was taken, and the deltas of derived views
	 * that are wanted.  lsn: the tick's position in the log.  Returns the number of rows.
	 */
	int64 (*write)(Publisher *publisher, List *cohorts, XLogRecPtr lsn);

	/*
	 * In a transaction of its own: the log begins anew, at start or, if that is 1,
	 * where nobody knows yet; what was before is lost.
	 */
	void (*lose)(Publisher *publisher, XLogRecPtr start);
};

#endif /* DERIVE_MAINTAIN_PUBLISHER_H */
