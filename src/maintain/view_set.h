/*-------------------------------------------------------------------------
 *
 * view_set.h
 *	  The views of a pipeline as the applier knows them, see view_set.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_VIEW_SET_H
#define DERIVE_MAINTAIN_VIEW_SET_H

#include "maintain/batch.h"
#include "maintain/publisher.h"
#include "maintain/runner.h"
#include "storage/lockdefs.h"

typedef enum ViewState
{
	VIEW_BUILDING, /* never had data */
	VIEW_LIVE,	   /* equals its query at its cohort's frontier */
	VIEW_STALE,	   /* to be recomputed, see reason */
	VIEW_FAILED	   /* an error, see reason; tried again at retry_at */
} ViewState;

/* A lock that a tick needs. */
typedef struct TickLock
{
	Oid relid;
	LOCKMODE mode;
} TickLock;

typedef struct LiveView
{
	/* from the catalog */
	int64 id;
	Oid view;
	Oid part_of; /* of a stage: its view */
	Oid query;
	Oid definition;
	Oid state_table;
	List *key;
	List *source_key; /* columns by which changes of its source are read, or NIL */
	bool paused;
	int64 refreshes;	 /* asked for */
	int64 refresh_every; /* ms, 0: never */

	/* made from the definition; all in plan_context */
	MemoryContext plan_context;
	ViewRunner *runner; /* NULL: must be made, or could not be */
	Oid owner;
	List *locks;	 /* of TickLock: target, sources, what is below them, row types */
	List *silent;	 /* of Oid: what it reads whose changes are not in the log */
	List *functions; /* that the definition calls, see functions.h */
	uint32 names;	 /* hash of those in its JSON, or 0 */
	bool dirty;		 /* plan and locks must be made again */

	/* progress */
	ViewState state;
	char *reason; /* "" if there is none; in the set's context */
	int64 refreshes_done;
	Cohort *cohort;			 /* NULL unless live */
	bool progress_changed;	 /* derive_state.progress must be written */
	bool unrepaired;		 /* derive_state.audit may have differences to be repaired */
	uint32 interest_version; /* can be built once this interest is in force */
	int64 retry_at;			 /* failed: not before, as by derive_clock_ms */
	int64 due_at; /* when what is not in the log is read again, likewise; 0: never */
	int failures; /* in a row */
	uint64 files; /* in which what it takes samples of lay when it was recomputed last */

	/* this tick */
	bool locked;
	bool readable; /* all that it reads can be read under the tick's snapshot */
	int component; /* views joined by views over views share one */
} LiveView;

/* A relation that views read, with the columns that they need together. */
typedef struct SourceInfo
{
	Oid relid;
	bool only;		/* without what is below it */
	bool keys_only; /* its delta has keys instead of rows */
	bool derived;	/* a view of ours: its delta does not come from the log */
	bool sampled;	/* where its rows lie matters: updates that change nothing count */
	Bitmapset *columns;
	uint64 generation; /* changes with the columns or their types */
	int ncolumns;
	AttrNumber *attnums;
	TupleDesc desc; /* sign, then the columns */
} SourceInfo;

typedef struct ViewSet
{
	MemoryContext context;
	List *views;   /* of LiveView, in order of ids: sources before readers */
	List *sources; /* of SourceInfo */
	MemoryContext source_context; /* holds sources */
	uint64 generation;			  /* rises when sources change */
	uint32 interest_version;
	bool catalog_changed; /* derive_state.view must be read again */
	Publisher *publisher;
	List *published; /* oids of relations whose every change is wanted */
} ViewSet;

extern ViewSet *derive_view_set_create(Publisher *publisher);

/*
 * Brings the set up to date with catalog and definitions, in a transaction of its
 * own.  A view with a frontier of its own may add a cohort.  Returns true if the
 * decoder's interest changed (see interest_version).
 */
extern bool derive_view_set_reload(ViewSet *set, List **cohorts);

/* view_locks.c */

/* Adds a lock, or those that a source needs, to a view's list, in CurrentMemoryContext. */
extern void derive_view_add_lock(LiveView *view, Oid relid, LOCKMODE mode);
extern void derive_view_add_source_locks(LiveView *view, PlanSource *source);

/* Notes the names in a view's JSON, and adds locks of the types that have them. */
extern void derive_view_add_names(LiveView *view, Query *query);

/* Takes a lock if that is possible at once and the relation exists. */
extern bool derive_view_set_lock_now(Oid relid, LOCKMODE mode);

/* Locks, without waiting, every relation that a query reads, and its indexes. */
extern bool derive_view_lock_query(Query *query);

/* Says whether two lists of locks name the same relations. */
extern bool derive_view_same_locks(List *a, List *b);

/* view_sources.c */

/*
 * Collects the sources of all views anew.  Returns true if the decoder's interest
 * (relations and columns that come from the log) changed.
 */
extern bool derive_view_set_collect_sources(ViewSet *set);
extern List *derive_view_set_interest(ViewSet *set); /* of InterestItem */

/* Says whether invalidations have arrived that derive_view_set_is_dirty has not seen. */
extern bool derive_view_set_has_invalidations(void);

/* Says whether such an invalidation concerns a view. */
extern bool derive_view_set_is_touched(LiveView *view);

/* Takes in invalidations; returns true if a reload is needed. */
extern bool derive_view_set_is_dirty(ViewSet *set);

/* Locks what a tick reads and writes, never waiting; sets "locked" of each view. */
extern void derive_view_set_lock(ViewSet *set);

/*
 * Prepares a cohort's deltas for a tick: one for each source of its views, and of each view
 * that is published; the main cohort has those of views that are in none.
 */
extern void derive_view_set_prepare_deltas(ViewSet *set, Cohort *cohort, bool is_main);

extern LiveView *derive_view_set_find(ViewSet *set, Oid view);
extern void derive_view_set_state(LiveView *view, ViewState state, const char *reason);
extern void derive_view_set_fail(LiveView *view, const char *reason);
extern const char *derive_view_state_name(ViewState state);

/* True if a refresh was asked for, or it is time to read again what is not in the log. */
extern bool derive_live_view_is_due(LiveView *view);

/* True if view reads source, as its plan says. */
extern bool derive_live_view_reads(LiveView *view, Oid source);

#endif /* DERIVE_MAINTAIN_VIEW_SET_H */
