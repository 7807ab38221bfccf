/*-------------------------------------------------------------------------
 *
 * slot.h
 *	  The logical replication slot of a pipeline, see slot.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_SLOT_H
#define DERIVE_CAPTURE_SLOT_H

#include "access/xlogreader.h"
#include "shared/pipeline.h"

/*
 * Acquires the pipeline's slot for this process, after waiting for a predecessor to
 * let go of it; creates it if there is none or if it has lost its WAL.  Returns true
 * if it was created.  routine reads WAL while a start is looked for; nap waits for a
 * moment and serves interrupts.
 */
extern bool
derive_slot_acquire(Pipeline *pipeline, XLogReaderRoutine *routine, void (*nap)(void));

/* Says whether the acquired slot retains more than pg_derive.max_retained_wal. */
extern bool derive_slot_exceeds_limit(Pipeline *pipeline, XLogRecPtr flushed);

/* Releases the acquired slot and drops it; decoding must have ended. */
extern void derive_slot_abandon(void);

#endif /* DERIVE_CAPTURE_SLOT_H */
