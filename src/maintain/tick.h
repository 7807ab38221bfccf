/*-------------------------------------------------------------------------
 *
 * tick.h
 *	  One maintenance transaction, which moves the frontier forward, see tick.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_TICK_H
#define DERIVE_MAINTAIN_TICK_H

#include "maintain/barrier.h"
#include "maintain/publisher.h"
#include "maintain/view_set.h"

typedef struct Maintainer
{
	MemoryContext context;		/* lives as long as the worker */
	MemoryContext tick_context; /* reset after each tick */
	Pipeline *pipeline;
	ChangeStream *stream;
	Batch *batch;
	ViewSet *views;
	Publisher *publisher;
	List *cohorts; /* of Cohort; the first is the main one */
	Barrier barrier;
	const char *gap;	  /* why the log does not lead on from what is stored, or NULL */
	bool frontier_stored; /* derive_state.frontier has its row, of this log */
	XLogRecPtr stored_restart_lsn; /* in that row */
	uint64 frontier_request_done;
	void (*audit)(
		struct Maintainer *m); /* called when all views are at a tick's snapshot,
										  * or NULL */
	uint64 first_xid;		   /* transactions before this may have begun without us */

	/* confirmation waits until this commit is on disk */
	XLogRecPtr unflushed_commit;
	XLogRecPtr unconfirmed_lsn; /* InvalidXLogRecPtr: nothing to confirm */
} Maintainer;

typedef struct TickResult
{
	int64 transactions;
	int64 changes;
	int64 deferred;
	bool again;	 /* the next tick should follow at once */
	bool behind; /* some view could not go along; try again soon */
} TickResult;

extern Maintainer *derive_maintainer_create(Pipeline *pipeline, Publisher *publisher);
extern void derive_maintainer_attach_stream(Maintainer *m, ChangeStream *stream);
extern void
derive_maintainer_set_all_stale(Maintainer *m, const char *reason, XLogRecPtr start);

extern void derive_tick_run(Maintainer *m, TickResult *result);

/* Lets the slot be confirmed as far as commits are on disk; returns true if some wait. */
extern bool derive_tick_confirm(Maintainer *m);

/* When a failed view is to be tried again, or a copy made again, as by derive_clock_ms; 0: none. */
extern int64 derive_tick_next_due(Maintainer *m);

/* Returns the cohort whose frontier is the pipeline's. */
static inline Cohort *
derive_main_cohort(Maintainer *m)
{
	return linitial(m->cohorts);
}

/* view_tick.c */

/* Returns the first view that this one reads and that is not live now, or NULL. */
extern LiveView *derive_view_obstacle(Maintainer *m, LiveView *view);
extern void derive_view_stop_readers(Maintainer *m);
extern void derive_view_process(Maintainer *m, LiveView *view, const Frontier *next);

#endif /* DERIVE_MAINTAIN_TICK_H */
