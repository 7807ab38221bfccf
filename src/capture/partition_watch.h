/*-------------------------------------------------------------------------
 *
 * partition_watch.h
 *	  Partitions that come and go with rows in them, see partition_watch.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_PARTITION_WATCH_H
#define DERIVE_CAPTURE_PARTITION_WATCH_H

#include "capture/relation_map.h"
#include "capture/spool.h"
#include "replication/reorderbuffer.h"

typedef struct PartitionWatch PartitionWatch;

extern PartitionWatch *derive_watch_create(MemoryContext parent);

/* After each new interest of map: what is known of sources that stay is kept. */
extern void derive_watch_set_interest(PartitionWatch *watch, RelationMap *map);

/*
 * At the commit of a transaction, under its historic snapshot: returns the sources
 * (MapSource) whose set of rows has changed by attaching, detaching or dropping
 * partitions.  The list is made in CurrentMemoryContext.  Also at the end of a piece of a
 * transaction in progress, with its spool, which is NULL otherwise.
 */
extern List *derive_watch_commit(PartitionWatch *watch, RelationMap *map,
								 ReorderBufferTXN *txn, Spool *spool);

/* At the end of a piece where no catalog can be read: those whose set may have changed. */
extern List *derive_watch_touched(PartitionWatch *watch, RelationMap *map, Spool *spool);

/* At the commit of a transaction that came in pieces: what these have seen is everybody's now. */
extern void derive_watch_stream_commit(PartitionWatch *watch, Spool *spool);

#endif /* DERIVE_CAPTURE_PARTITION_WATCH_H */
