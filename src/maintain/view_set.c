/*-------------------------------------------------------------------------
 *
 * view_set.c
 *	  The views of a pipeline as the applier knows them.
 *
 * The applier keeps one ViewSet between ticks.  It is brought up to date in
 * transactions of their own, because reading a catalog takes a snapshot and a
 * tick must take its locks before its snapshot.  What can change:
 *  - the catalog of views, told by catalog_version of the pipeline's entry;
 *  - a relation that a view depends on, told by relcache invalidation, or a function
 *    that it calls: the view becomes dirty, and its plan, locks and kept statements are
 *    made again.
 *
 * Locks of a tick, all taken conditionally, never waiting:
 *  - ROW EXCLUSIVE on each target, which it writes;
 *  - ACCESS SHARE on each source and the tables below it, which it reads;
 *  - SHARE UPDATE EXCLUSIVE on each partitioned table among them.  Attaching a
 *    partition takes that lock and no stronger one, and brings rows that the log
 *    does not tell of; so it must not happen between lock and snapshot.  Who makes
 *    an inheritance child takes ACCESS EXCLUSIVE on its parent (src/api/guard.c).
 * A view whose locks cannot be had stays behind for this tick, and so do all
 * views that are joined with it by views over views (its component).
 *
 * Ids of views rise with their creation and a view can only read views that
 * exist, so the order of ids is a topological order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/view_set.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/owner.h"
#include "catalog/hidden_parts.h"
#include "catalog/pg_class.h"
#include "catalog/view_catalog.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "maintain/functions.h"
#include "miscadmin.h"
#include "plan/sources.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* ---------- invalidations ---------- */

#define MAX_INVALIDATED 64

static Oid invalidated[MAX_INVALIDATED];
static int ninvalidated = 0;
static uint32
	replaced[MAX_INVALIDATED]; /* functions, by their hash in the system cache */
static int nreplaced = 0;
static bool all_invalidated = false;

/* Relcache callback: notes a relation; may be called at any time. */
static void
note_invalidation(Datum arg, Oid relid)
{
	if (!OidIsValid(relid))
		all_invalidated = true;
	else if (relid >= FirstNormalObjectId && !all_invalidated)
	{
		for (int i = 0; i < ninvalidated; i++)
			if (invalidated[i] == relid)
				return;
		if (ninvalidated < MAX_INVALIDATED)
			invalidated[ninvalidated++] = relid;
		else
			all_invalidated = true;
	}
}

/*
 * Syscache callback: rights may have changed with roles and their members, and the names
 * that maintenance SQL contains with that of a schema, of which relations are not told; names
 * in JSON with those of enum values.
 */
static void
note_catalog_change(Datum arg, int cache, uint32 hash)
{
	all_invalidated = true;
}

/* Syscache callback: notes that a function, or all of them (0), may have been replaced. */
static void
note_function_change(Datum arg, int cache, uint32 hash)
{
	if (hash != 0 && nreplaced < MAX_INVALIDATED)
		replaced[nreplaced++] = hash;
	else
		all_invalidated = true;
}

/* Says whether a view calls a function that may have been replaced. */
static bool
calls_replaced(LiveView *view)
{
	for (int i = 0; i < nreplaced; i++)
		if (derive_functions_contain(view->functions, replaced[i]))
			return true;
	return false;
}

/* Says whether a view's plan or locks were made from a relation. */
static bool
depends_on(LiveView *view, Oid relid)
{
	ListCell *lc;

	if (relid == view->definition || relid == view->state_table)
		return true;
	foreach (lc, view->locks)
		if (((TickLock *) lfirst(lc))->relid == relid)
			return true;
	return false;
}

bool
derive_view_set_has_invalidations(void)
{
	return all_invalidated || ninvalidated > 0 || nreplaced > 0;
}

bool
derive_view_set_is_touched(LiveView *view)
{
	bool touched = all_invalidated || calls_replaced(view);

	for (int i = 0; i < ninvalidated && !touched; i++)
		touched = depends_on(view, invalidated[i]);
	return touched;
}

bool
derive_view_set_is_dirty(ViewSet *set)
{
	bool dirty = set->catalog_changed;
	ListCell *lc;

	foreach (lc, set->views)
	{
		LiveView *view = lfirst(lc);

		view->dirty |= derive_view_set_is_touched(view);
		if (view->state == VIEW_FAILED && view->runner == NULL &&
			view->retry_at <= derive_clock_ms())
			view->dirty = true;
		dirty |= view->dirty && !view->paused;
	}
	ninvalidated = nreplaced = 0;
	all_invalidated = false;
	return dirty;
}

/* ---------- the set ---------- */

/* Makes an empty set, which a reload fills. */
ViewSet *
derive_view_set_create(Publisher *publisher)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_derive views",
												  ALLOCSET_DEFAULT_SIZES);
	ViewSet *set = MemoryContextAllocZero(context, sizeof(ViewSet));

	set->context = context;
	set->catalog_changed = true;
	set->publisher = publisher;
	CacheRegisterRelcacheCallback(note_invalidation, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, note_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, note_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, note_function_change, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, note_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(ENUMOID, note_catalog_change, (Datum) 0);
	return set;
}

LiveView *
derive_view_set_find(ViewSet *set, Oid view)
{
	ListCell *lc;

	foreach (lc, set->views)
		if (((LiveView *) lfirst(lc))->view == view)
			return lfirst(lc);
	return NULL;
}

const char *
derive_view_state_name(ViewState state)
{
	switch (state)
	{
		case VIEW_BUILDING:
			return "building";
		case VIEW_LIVE:
			return "live";
		case VIEW_STALE:
			return "stale";
		case VIEW_FAILED:
			return "failed";
	}
	return "";
}

/* Changes a view's state; a view that is not live leaves its cohort. */
void
derive_view_set_state(LiveView *view, ViewState state, const char *reason)
{
	char *copy;

	if (state != VIEW_LIVE)
		view->cohort = NULL;
	if (view->state == state && strcmp(view->reason, reason) == 0)
		return;
	copy = MemoryContextStrdup(GetMemoryChunkContext(view), reason);
	pfree(view->reason);
	view->reason = copy;
	view->state = state;
	view->progress_changed = true;
}

/* Marks a view failed; it is tried again after 1, 2, 4 ... 256 seconds. */
void
derive_view_set_fail(LiveView *view, const char *reason)
{
	int seconds = 1 << Min(view->failures, 8);

	view->failures++;
	view->retry_at = derive_clock_ms() + seconds * 1000;
	derive_view_set_state(view, VIEW_FAILED, reason);
	ereport(
		LOG,
		(errmsg("derived view \"%s\" failed: %s", get_rel_name(view->view), reason),
		 errdetail("It is tried again in %d seconds or at derive.refresh.", seconds)));
}

bool
derive_live_view_reads(LiveView *view, Oid source)
{
	ListCell *lc;

	if (view->runner == NULL)
		return false;
	foreach (lc, derive_runner_plan(view->runner)->sources)
		if (((PlanSource *) lfirst(lc))->relid == source)
			return true;
	return false;
}

/* ---------- reload: plans ---------- */

/* Throws away what was made from a view's definition. */
static void
forget_plan(LiveView *view)
{
	if (view->runner != NULL)
		derive_runner_destroy(view->runner);
	view->runner = NULL;
	view->locks = NIL;
	view->silent = NIL;
	view->functions = NIL;
	if (view->plan_context != NULL)
		MemoryContextDelete(view->plan_context);
	view->plan_context = NULL;
}

/* Makes a hidden table belong to whom its view has been given. */
static void
give_to_owner(Oid relid, Oid owner)
{
	if (derive_owner_of(relid) != owner)
		ATExecChangeOwner(relid, owner, false, AccessExclusiveLock);
}

/* Copies the sources of a view's plan, if it has one, in CurrentMemoryContext. */
static List *
copy_sources(LiveView *view)
{
	List *copies = NIL;
	ListCell *lc;

	if (view->runner == NULL)
		return NIL;
	foreach (lc, derive_runner_plan(view->runner)->sources)
	{
		PlanSource *copy = palloc(sizeof(PlanSource));

		*copy = *(PlanSource *) lfirst(lc);
		copy->columns = bms_copy(copy->columns);
		copies = lappend(copies, copy);
	}
	return copies;
}

/*
 * Says whether a plan reads other columns than before, which happens to a query with a
 * table's row as a whole when the table gets or loses columns.
 */
static bool
columns_changed(List *before, List *after)
{
	ListCell *lb, *la;

	forboth (lb, before, la, after)
	{
		PlanSource *old = lfirst(lb);
		PlanSource *new = lfirst(la);

		if (old->relid == new->relid && old->only == new->only &&
			(old->keys_only != new->keys_only || !bms_equal(old->columns, new->columns)))
			return true;
	}
	return false;
}

/*
 * Ties the parts of a view that was never maintained here to its table.  Returns false if it
 * is being restored from a dump, and some are not there yet.
 */
static bool
take_parts(LiveView *view)
{
	CatalogView parts = {.view = view->view,
						 .part_of = view->part_of,
						 .query = view->query,
						 .definition = view->definition,
						 .state_table = view->state_table};

	if (view->state != VIEW_BUILDING)
		return true;
	if (!derive_hidden_parts_complete(&parts))
		return false;
	if (derive_hidden_parts_tie(&parts))
	{
		derive_view_set_state(view, VIEW_STALE, "it was restored from a dump");
		ereport(LOG, (errmsg("derived view \"%s\" is stale: it was restored from a dump",
							 get_rel_name(view->view))));
	}
	return true;
}

/*
 * Makes plan, locks and runner of a view.  Returns false if a lock could not be
 * had, or the view is not all there; then it stays dirty.  Throws if the query cannot be planned.
 */
static bool
make_plan(ViewSet *set, LiveView *view)
{
	MemoryContext caller;
	MemoryContext context;
	List *old_locks;
	List *old_sources;
	List *old_functions;
	uint32 old_names = view->names;
	ViewPlan *plan;
	OwnerScope scope;
	Query *query;
	ListCell *lc;

	if (!derive_view_set_lock_now(view->view, AccessShareLock) ||
		!derive_view_set_lock_now(view->definition, AccessShareLock))
		return false;
	query = derive_catalog_read_query(view->definition, NoLock);
	if (!derive_view_lock_query(query) || !take_parts(view))
		return false;

	old_locks = NIL;
	caller = MemoryContextSwitchTo(CurTransactionContext);
	foreach (lc, view->locks)
	{
		TickLock *copy = palloc(sizeof(TickLock));

		*copy = *(TickLock *) lfirst(lc);
		old_locks = lappend(old_locks, copy);
	}
	old_sources = copy_sources(view);
	old_functions = derive_functions_copy(view->functions);
	forget_plan(view);
	context = AllocSetContextCreate(set->context, "pg_derive plan",
									ALLOCSET_DEFAULT_SIZES);
	view->plan_context = context;
	MemoryContextSwitchTo(context);

	view->owner = derive_owner_of(OidIsValid(view->part_of) ? view->part_of : view->view);
	give_to_owner(view->view, view->owner);
	if (OidIsValid(view->state_table))
		give_to_owner(view->state_table, view->owner);
	derive_owner_enter(&scope, view->owner);
	foreach (lc, derive_plan_queries(query))
		derive_check_query_permissions(lfirst(lc));
	plan = derive_plan_make(query, NULL);
	plan->key = list_copy(view->key);
	derive_plan_follow_keys(plan, view->source_key);
	derive_owner_leave(&scope);

	view->silent = derive_sources_silent(plan->query);
	if (view->silent == NIL || view->refresh_every == 0)
		view->due_at = 0;
	else if (view->due_at == 0)
		view->due_at = derive_clock_ms();

	view->functions = derive_functions_of(view->definition);
	derive_view_add_lock(view, view->view, RowExclusiveLock);
	foreach (lc, plan->sources)
		derive_view_add_source_locks(view, lfirst(lc));
	derive_view_add_names(view, plan->query);
	view->runner = derive_runner_create(context, plan, view->view, view->owner,
										view->state_table);
	MemoryContextSwitchTo(caller);

	if (old_locks != NIL && !derive_view_same_locks(old_locks, view->locks) &&
		view->state == VIEW_LIVE)
		derive_view_set_state(view, VIEW_STALE, "the tables below a source changed");
	if (view->state == VIEW_LIVE && columns_changed(old_sources, plan->sources))
		derive_view_set_state(view, VIEW_STALE, "the columns of a source changed");
	if (view->state == VIEW_LIVE &&
		derive_functions_replaced(old_functions, view->functions))
		derive_view_set_state(view, VIEW_STALE, "a function that it calls was replaced");
	if (view->state == VIEW_LIVE && old_names != 0 && old_names != view->names)
		derive_view_set_state(view, VIEW_STALE, "a name that its JSON holds changed");
	return true;
}

/*
 * Runs make_plan in a subtransaction; an error makes the view failed.
 */
static void
try_make_plan(ViewSet *set, LiveView *view)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		if (make_plan(set, view))
			view->dirty = false;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		forget_plan(view);
		view->dirty = false;
		derive_view_set_fail(view, error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

/* ---------- reload: catalog ---------- */

/* Finds or makes the cohort of a stored frontier. */
static Cohort *
cohort_of(List **cohorts, const char *frontier, XLogRecPtr lsn)
{
	Cohort *main_cohort = linitial(*cohorts);
	Cohort *cohort;
	MemoryContext old;
	ListCell *lc;

	if (frontier == NULL)
		return main_cohort;
	foreach (lc, *cohorts)
	{
		cohort = lfirst(lc);
		if (strcmp(derive_frontier_text(cohort->frontier), frontier) == 0)
			return cohort;
	}
	old = MemoryContextSwitchTo(GetMemoryChunkContext(main_cohort));
	cohort = palloc0(sizeof(Cohort));
	cohort->frontier = derive_frontier_parse(frontier);
	cohort->lsn = lsn;
	*cohorts = lappend(*cohorts, cohort);
	MemoryContextSwitchTo(old);
	return cohort;
}

/* Returns the state of a name in derive_state.progress. */
static ViewState
state_from_name(const char *name)
{
	if (name == NULL)
		return VIEW_BUILDING;
	for (ViewState state = VIEW_BUILDING; state <= VIEW_FAILED; state++)
		if (strcmp(derive_view_state_name(state), name) == 0)
			return state;
	return VIEW_STALE;
}

/* Makes a LiveView of a catalog row that the applier sees for the first time. */
static LiveView *
add_view(ViewSet *set, CatalogView *row, List **cohorts)
{
	LiveView *view = MemoryContextAllocZero(set->context, sizeof(LiveView));

	view->id = row->id;
	view->state = state_from_name(row->state);
	view->reason = MemoryContextStrdup(set->context, row->reason ? row->reason : "");
	view->refreshes_done = row->refreshes_done;
	view->dirty = true;
	view->progress_changed = row->state == NULL;
	view->unrepaired = view->state != VIEW_LIVE;
	if (view->state == VIEW_LIVE)
		view->cohort = cohort_of(cohorts, row->frontier, row->frontier_lsn);
	return view;
}

/* Takes over what a catalog row says. */
static void
update_view(ViewSet *set, LiveView *view, CatalogView *row)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	if (view->view != row->view || view->definition != row->definition ||
		view->state_table != row->state_table)
		view->dirty = true;
	view->view = row->view;
	view->part_of = row->part_of;
	view->query = row->query;
	view->definition = row->definition;
	view->state_table = row->state_table;
	list_free(view->key);
	view->key = list_copy(row->key);
	list_free(view->source_key);
	view->source_key = list_copy(row->source_key);
	if (row->paused && !view->paused && view->state == VIEW_LIVE)
		derive_view_set_state(view, VIEW_STALE, "it was paused");
	view->paused = row->paused;
	if (view->refreshes != row->refreshes)
		view->retry_at = 0;
	view->refreshes = row->refreshes;
	view->refresh_every = row->refresh_every;
	MemoryContextSwitchTo(old);
}

/* Reads which relations' every change is wanted; returns whether they are others than before. */
static bool
read_published(ViewSet *set)
{
	List *published = set->publisher->read_catalog(set->publisher);
	bool changed = list_difference_oid(published, set->published) != NIL ||
				   list_difference_oid(set->published, published) != NIL;
	MemoryContext old = MemoryContextSwitchTo(set->context);

	list_free(set->published);
	set->published = list_copy(published);
	MemoryContextSwitchTo(old);
	return changed;
}

/* Reads the catalog: views come, change and go. */
static void
read_catalog(ViewSet *set, List **cohorts)
{
	List *rows = derive_catalog_read_views();
	List *views = NIL;
	MemoryContext old;
	ListCell *lc;
	bool gone = false;

	foreach (lc, rows)
	{
		CatalogView *row = lfirst(lc);
		LiveView *view = NULL;
		ListCell *lv;

		foreach (lv, set->views)
			if (((LiveView *) lfirst(lv))->id == row->id &&
				((LiveView *) lfirst(lv))->view == row->view)
				view = lfirst(lv);
		if (view == NULL)
			view = add_view(set, row, cohorts);
		update_view(set, view, row);
		old = MemoryContextSwitchTo(set->context);
		views = lappend(views, view);
		MemoryContextSwitchTo(old);
	}
	foreach (lc, set->views)
	{
		LiveView *view = lfirst(lc);

		if (!list_member_ptr(views, view))
		{
			forget_plan(view);
			pfree(view->reason);
			list_free(view->key);
			list_free(view->source_key);
			pfree(view);
			gone = true;
		}
	}
	list_free(set->views);
	set->views = views;
	set->catalog_changed = false;
	if (gone)
		derive_catalog_delete_orphans();
}

/* ---------- reload: all ---------- */

/* Numbers the connected components of views over views. */
static void
number_components(ViewSet *set)
{
	int n = 0;
	ListCell *lc, *lr;

	foreach (lc, set->views)
		((LiveView *) lfirst(lc))->component = n++;
	foreach (lc, set->views)
	{
		LiveView *reader = lfirst(lc);

		foreach (lr, set->views)
		{
			LiveView *read = lfirst(lr);
			int from = read->component;
			ListCell *lv;

			if (from == reader->component || !derive_live_view_reads(reader, read->view))
				continue;
			foreach (lv, set->views)
				if (((LiveView *) lfirst(lv))->component == from)
					((LiveView *) lfirst(lv))->component = reader->component;
		}
	}
}

/*
 * A live view that could not be planned since the worker started is not among those
 * whose sources the decoder sends: what it misses is unknown.
 */
static void
reject_unplanned(ViewSet *set)
{
	ListCell *lc;

	foreach (lc, set->views)
	{
		LiveView *view = lfirst(lc);

		if (view->state == VIEW_LIVE && view->runner == NULL)
			derive_view_set_state(view, VIEW_STALE,
								  "a source was locked when the worker started");
	}
}

bool
derive_view_set_reload(ViewSet *set, List **cohorts)
{
	List *planned = NIL;
	bool changed = false;
	ListCell *lc;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	derive_view_set_is_dirty(set);
	if (set->catalog_changed)
	{
		changed = read_published(set);
		read_catalog(set, cohorts);
	}
	foreach (lc, set->views)
	{
		LiveView *view = lfirst(lc);

		if (!view->dirty || view->paused)
			continue;
		try_make_plan(set, view);
		planned = lappend(planned, view);
	}
	reject_unplanned(set);
	changed |= derive_view_set_collect_sources(set);
	if (changed)
		set->interest_version++;
	foreach (lc, planned)
		if (((LiveView *) lfirst(lc))->state != VIEW_LIVE)
			((LiveView *) lfirst(lc))->interest_version = set->interest_version;
	number_components(set);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	return changed;
}

/* ---------- a tick's part ---------- */

bool
derive_live_view_is_due(LiveView *view)
{
	return view->refreshes != view->refreshes_done ||
		   (view->due_at != 0 && view->due_at <= derive_clock_ms());
}

/*
 * Locks what is not in the log, if the view is to read it in this tick.  That must not
 * wait for the tick's snapshot: what REFRESH MATERIALIZED VIEW writes after it would be
 * an empty table.
 */
static void
lock_silent(LiveView *view)
{
	ListCell *lc;

	view->readable = view->locked && (view->silent == NIL || view->state != VIEW_LIVE ||
									  derive_live_view_is_due(view));
	foreach (lc, view->silent)
		view->readable = view->readable &&
						 derive_view_set_lock_now(lfirst_oid(lc), AccessShareLock);
}

void
derive_view_set_lock(ViewSet *set)
{
	ListCell *lc, *ll, *lo;

	foreach (lc, set->views)
	{
		LiveView *view = lfirst(lc);

		view->locked = view->runner != NULL && !view->paused && !view->dirty &&
					   !set->publisher->holds(set->publisher, view->view);
		foreach (ll, view->locks)
		{
			TickLock *lock = lfirst(ll);

			if (!view->locked)
				break;
			view->locked = derive_view_set_lock_now(lock->relid, lock->mode);
		}
		lock_silent(view);
	}
	/* One live view that cannot go keeps its whole component. */
	foreach (lc, set->views)
	{
		LiveView *view = lfirst(lc);

		if (view->locked || view->state != VIEW_LIVE || view->paused)
			continue;
		foreach (lo, set->views)
			if (((LiveView *) lfirst(lo))->component == view->component)
				((LiveView *) lfirst(lo))->locked = false;
	}
}
