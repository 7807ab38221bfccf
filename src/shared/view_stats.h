/*-------------------------------------------------------------------------
 *
 * view_stats.h
 *	  Counters of views, in shared memory, see view_stats.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_SHARED_VIEW_STATS_H
#define DERIVE_SHARED_VIEW_STATS_H

#include "datatype/timestamp.h"

typedef struct ViewStatsKey
{
	Oid dboid;
	Oid view;
} ViewStatsKey;

typedef struct ViewStats
{
	ViewStatsKey key;
	int64 rows_in;		/* rows of deltas that it followed */
	int64 rows_changed; /* rows of the target inserted, updated or deleted */
	int64 ticks;		/* in which it was maintained */
	int64 recomputes;	/* of these, by recompute */
	int64 choices;		/* of these, because a delta was estimated to cost more */
	int64 repairs;		/* of these, because a delta did not fit what was stored */
	int64 audits;		/* keys that were compared with the query */
	TimestampTz last_tick_at;
	int64 last_tick_us;
	int64 total_us;
} ViewStats;

extern void derive_view_stats_init(void); /* from _PG_init: shmem hooks */
extern void
derive_view_stats_count(Oid view, int64 rows_in, int64 rows_changed, bool recomputed,
						bool chosen, bool repaired, int64 us);
extern void derive_view_stats_audited(Oid view, int64 keys);
extern bool derive_view_stats_get(Oid view, ViewStats *stats);
extern void derive_view_stats_forget(Oid view);

#endif /* DERIVE_SHARED_VIEW_STATS_H */
