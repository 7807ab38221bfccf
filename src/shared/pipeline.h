/*-------------------------------------------------------------------------
 *
 * pipeline.h
 *	  What the processes of a pipeline share in main shared memory.
 *
 * One Pipeline per database that has (or is probed for) the extension, in a
 * fixed array of pg_derive.database_workers entries.  An entry is found by
 * database oid; it never moves, and a backend that caches a pointer to it
 * checks dboid on each use.
 *
 * Locking.  "lock" is DeriveShared->lock (an LWLock) and guards the allocation
 * of entries and the wishes of other processes; "mutex" is the entry's spinlock
 * and covers plain assignments only; atomics stand alone.  The latch pointers
 * may be read without a lock: latches live in PGPROC entries, which never go
 * away, and a spurious SetLatch is harmless.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_SHARED_PIPELINE_H
#define DERIVE_SHARED_PIPELINE_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#define DERIVE_REASON_LEN 512

typedef enum PipelineState
{
	PIPELINE_STOPPED = 0, /* no applier; the launcher starts one if wanted */
	PIPELINE_STARTING,	  /* applier runs; decoder starts, slot may be being created */
	PIPELINE_RUNNING,	  /* ticks happen */
	PIPELINE_FAILED		  /* the last start failed, see reason; will be tried again */
} PipelineState;

/* What the applier is at, while it recomputes a view. */
typedef enum ProgressPhase
{
	PROGRESS_NONE = 0,
	PROGRESS_BUILDING, /* inserts the query's rows */
	PROGRESS_COMPARING /* compares the query's rows with the stored ones, writes what differs */
} ProgressPhase;

typedef struct Pipeline
{
	/* allocation and wishes: lock */
	Oid dboid;			/* InvalidOid: entry is free */
	bool wanted;		/* the launcher keeps an applier running */
	bool hold;			/* DROP DATABASE & co: no workers for now */
	pid_t hold_pid;		/* backend that holds; a hold ends with its process */
	int64 next_start;	/* launcher: not before this time, as by derive_clock_ms */
	int start_failures; /* launcher: in a row, for the backoff */

	slock_t mutex;
	/* mutex */
	PipelineState state;
	char reason[DERIVE_REASON_LEN]; /* why it is not running, or "" */
	pid_t applier_pid;
	pid_t decoder_pid;
	pid_t processor_pid;	  /* runs handlers of processors */
	TimestampTz last_tick_at; /* end of the last tick */
	TimestampTz
		oldest_pending; /* commit time of the oldest change not applied; 0: none */
	Oid progress_view;	/* that the applier is recomputing, or InvalidOid */
	ProgressPhase progress_phase;
	TimestampTz progress_since;

	/* read without lock, see above */
	Latch *volatile applier_latch;
	Latch *volatile decoder_latch;
	Latch *volatile processor_latch;

	/* writers to decoder and applier, see commit_hook.c */
	pg_atomic_uint64
		async_in_flight;		/* asynchronous commits between pre-commit and commit */
	pg_atomic_uint64 async_lsn; /* end of the last asynchronous commit */
	pg_atomic_uint32 want_visible;	  /* applier waits for a commit to become visible:
									 * commit callbacks set its latch, too */
	pg_atomic_uint64 catalog_version; /* commits that changed the catalog of views */
	pg_atomic_uint64 commits; /* commits that wrote WAL, all backends: writers' rate */

	/* waiters and applier: a tick that starts after request n sets done to n */
	pg_atomic_uint64 tick_request;
	pg_atomic_uint64 tick_done;
	pg_atomic_uint64 wait_lsn; /* highest lsn that somebody waits for */
	pg_atomic_uint64
		frontier_request; /* as tick_request, but the tick writes the frontier row
										 * even if it has nothing to apply (derive.verify) */
	pg_atomic_uint32
		views_behind;		   /* live views that are not at the pipeline's frontier */
	ConditionVariable tick_cv; /* broadcast after each tick and state change */

	/* decoder and launcher to applier: the slot was given up because it retained too much */
	pg_atomic_uint32 shed;
	/* applier to consumers */
	pg_atomic_uint64 events; /* ticks that wrote events to outboxes */

	/* applier to decoder */
	pg_atomic_uint64 target_lsn; /* a progress mark is wanted once decoded past this */
	pg_atomic_uint64 target_request; /* number of that wish, echoed in the mark */
	pg_atomic_uint64 confirm_lsn;	 /* the slot may be confirmed up to here */

	/* counters and positions for derive.pipelines */
	pg_atomic_uint64 received_lsn;	/* decoder has read WAL up to here */
	pg_atomic_uint64 applied_lsn;	/* all live views contain every commit before this */
	pg_atomic_uint64 confirmed_lsn; /* what the slot has been confirmed to */
	pg_atomic_uint64 transactions;	/* source transactions applied */
	pg_atomic_uint64 changes;		/* rows of sources applied */
	pg_atomic_uint64 ticks;
	pg_atomic_uint64 progress_rows; /* that the present recompute has written */
	pg_atomic_uint64 queue_bytes;	/* bytes sent by the decoder since it started */
} Pipeline;

/* Databases whose CREATE EXTENSION has just committed, until the launcher has looked. */
#define DERIVE_START_REQUESTS 16

typedef struct DeriveShared
{
	LWLock *lock;
	Latch *volatile launcher_latch;
	pg_atomic_uint32 generation; /* rises when an entry is reserved or released: what a
									 * backend has cached about its entry is out of date */
	pg_atomic_uint32 start_requests[DERIVE_START_REQUESTS]; /* database oids, 0: free */
	pg_atomic_uint32 probe_wanted; /* launcher: look for databases not seen yet */
	int npipelines;
	Pipeline pipelines[FLEXIBLE_ARRAY_MEMBER];
} DeriveShared;

typedef enum PipelineRole
{
	ROLE_APPLIER,
	ROLE_DECODER,
	ROLE_PROCESSOR
} PipelineRole;

/* NULL when the library was not preloaded. */
extern DeriveShared *derive_shared;

extern void derive_pipeline_init(void);			  /* from _PG_init: shmem hooks */
extern Pipeline *derive_pipeline_find(Oid dboid); /* NULL if there is none; takes lock */
extern Pipeline *derive_pipeline_reserve(Oid dboid); /* or finds; NULL: array is full */
extern void derive_pipeline_release(Pipeline *p);	 /* frees the entry */
extern bool derive_pipeline_has_room(Oid dboid); /* it has an entry or could get one */

/*
 * Enters the calling process as a pipeline's applier, decoder or processor: pid and
 * latch, which are taken out again at its exit.  Returns false, and does nothing, if another
 * process has that role.
 */
extern bool derive_pipeline_join(Pipeline *p, PipelineRole role);
extern void
derive_pipeline_set_state(Pipeline *p, PipelineState state, const char *reason);
extern void derive_pipeline_wake_launcher(void);
extern void derive_pipeline_wake_applier(Pipeline *p);
extern void derive_pipeline_wake_decoder(Pipeline *p);

/* Raises *a to v if it is lower. */
static inline void
derive_atomic_raise(pg_atomic_uint64 *a, uint64 v)
{
	uint64 cur = pg_atomic_read_u64(a);

	while (cur < v && !pg_atomic_compare_exchange_u64(a, &cur, v))
		;
}

#endif /* DERIVE_SHARED_PIPELINE_H */
