/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  From the change stream to the deltas of one tick, see batch.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_BATCH_H
#define DERIVE_MAINTAIN_BATCH_H

#include "capture/stream.h"
#include "maintain/delta.h"
#include "maintain/frontier.h"

/*
 * Views with one frontier.  There is always the main cohort, whose frontier is the
 * pipeline's; a view whose sources could not be locked stays behind in another.
 */
typedef struct Cohort
{
	Frontier *frontier;
	XLogRecPtr lsn;	 /* applied LSN at that frontier */
	DeltaSet deltas; /* this tick's */
	bool active;	 /* takes part in this tick */
} Cohort;

typedef struct Batch Batch;

/* Where a record comes from. */
typedef struct Origin
{
	uint64 xid;
	XLogRecPtr commit_lsn;
	TimestampTz commit_time;
} Origin;

/*
 * Somebody who takes transactions strictly in the order of their commits, whatever is in
 * cohorts' frontiers: behind one that is not visible yet all others wait, too.  Behind it
 * there may be several that read, and some that cannot take anything in this tick.
 */
typedef struct CommitSink
{
	XLogRecPtr cursor; /* commits that start before this have been taken */
	XLogRecPtr from;   /* this tick: who reads now has all that starts before this */
	XLogRecPtr behind; /* this tick: who cannot read now has all that starts before this;
						* MaxXLogRecPtr: there is nobody */
	bool wanted;	   /* somebody reads; if not, take() sees all, in any order */
	bool blocked;	   /* this tick: a commit is not visible yet, which ends it */
	void (*take)(struct CommitSink *sink, const Origin *origin,
				 const StreamRecord *record);
} CommitSink;

#define MaxXLogRecPtr ((XLogRecPtr) PG_UINT64_MAX)

typedef struct BatchStats
{
	int64 transactions; /* fed to some cohort */
	int64 changes;
	int64 deferred;			 /* not visible yet */
	XLogRecPtr decoded_lsn;	 /* the stream has been read up to here */
	uint32 interest_version; /* in force behind decoded_lsn */
} BatchStats;

extern Batch *derive_batch_create(ChangeStream *stream);

/*
 * Reads the stream up to target and gives every transaction that next contains to
 * the active cohorts that do not contain it yet, and to the sink, whose cursor moves on.
 * cohorts: list of Cohort.
 */
extern void
derive_batch_collect(Batch *batch, List *cohorts, CommitSink *sink, const Frontier *next,
					 XLogRecPtr target, BatchStats *stats);

/* After a tick: forgets kept transactions that all cohorts contain and the sink took. */
extern void derive_batch_prune(Batch *batch, List *cohorts, CommitSink *sink);

/*
 * After derive_batch_prune: forgets those that only wait for who cannot read from the sink
 * now.  When one can, derive_batch_collect throws, and the log is to be read from
 * derive_batch_oldest_kept on.
 */
extern void derive_batch_forget(Batch *batch, List *cohorts, const CommitSink *sink);

/* Start of the oldest kept or forgotten commit, or lsn if there is none or that is lower. */
extern XLogRecPtr derive_batch_oldest_kept(Batch *batch, XLogRecPtr lsn);

/* Start of the oldest commit that is not visible yet, or lsn if that is lower. */
extern XLogRecPtr derive_batch_oldest_deferred(Batch *batch, XLogRecPtr lsn);

extern bool derive_batch_has_kept(Batch *batch);
extern int64 derive_batch_kept_bytes(Batch *batch);
extern TimestampTz derive_batch_oldest_commit_time(Batch *batch); /* 0: nothing kept */

#endif /* DERIVE_MAINTAIN_BATCH_H */
