/*-------------------------------------------------------------------------
 *
 * partitions.h
 *	  The partitions of outboxes, see partitions.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_PARTITIONS_H
#define DERIVE_PUBLISH_PARTITIONS_H

/*
 * Makes the partition of an outbox for events from a position on, 1: for all; and makes it
 * append-only.  The caller holds a lock on the outbox against others who would.
 */
extern void derive_partition_make(Oid outbox, int64 id, int64 from);

/* Returns the partition that takes new events, of an outbox that is locked; or InvalidOid. */
extern Oid derive_partition_open(Oid outbox);

/* Makes a table append-only but for who writes outboxes, whatever the caller may do. */
extern void derive_partition_guard(const char *table);

/* True while this process changes partitions: the guard lets nobody else. */
extern bool derive_partitions_at_work(void);

#endif /* DERIVE_PUBLISH_PARTITIONS_H */
