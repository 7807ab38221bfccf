/*-------------------------------------------------------------------------
 *
 * view_locks.c
 *	  Which relations a view's tick locks, and locks that are tried, never waited for.
 *
 * Which modes these are, and why: see view_set.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/view_set.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "plan/json_calls.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Adds a lock to a view's list, in CurrentMemoryContext. */
void
derive_view_add_lock(LiveView *view, Oid relid, LOCKMODE mode)
{
	TickLock *lock = palloc(sizeof(TickLock));

	lock->relid = relid;
	lock->mode = mode;
	view->locks = lappend(view->locks, lock);
}

/* Adds the locks of a source and of the tables below it, if they are read. */
void
derive_view_add_source_locks(LiveView *view, PlanSource *source)
{
	ListCell *lc;

	if (source->only)
	{
		derive_view_add_lock(view, source->relid, AccessShareLock);
		return;
	}
	foreach (lc, find_all_inheritors(source->relid, NoLock, NULL))
	{
		Oid part = lfirst_oid(lc);

		derive_view_add_lock(view, part,
							 get_rel_relkind(part) == RELKIND_PARTITIONED_TABLE
								 ? ShareUpdateExclusiveLock
								 : AccessShareLock);
	}
}

/*
 * Notes the names in a view's JSON and adds the locks of the types that have them: a name
 * does not change during a tick, and that it did is told by an invalidation.
 */
void
derive_view_add_names(LiveView *view, Query *query)
{
	List *rowtypes;
	ListCell *lc;

	view->names = derive_json_names(query, &rowtypes);
	foreach (lc, rowtypes)
		derive_view_add_lock(view, lfirst_oid(lc), AccessShareLock);
}

bool
derive_view_set_lock_now(Oid relid, LOCKMODE mode)
{
	return ConditionalLockRelationOid(relid, mode) &&
		   SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

/*
 * Locks, without waiting, the indexes of a relation: to plan opens them all, and who drops a
 * table has locked its indexes before it has the table.
 */
static bool
lock_indexes(Oid relid)
{
	Relation rel = relation_open(relid, NoLock);
	bool locked = true;
	ListCell *lc;

	foreach (lc, RelationGetIndexList(rel))
		locked = locked && derive_view_set_lock_now(lfirst_oid(lc), AccessShareLock);
	relation_close(rel, NoLock);
	return locked;
}

/* Locks, without waiting, every relation that a query reads. */
bool
derive_view_lock_query(Query *query)
{
	ListCell *lc, *lr;

	foreach (lc, derive_plan_queries(query))
		foreach (lr, ((Query *) lfirst(lc))->rtable)
		{
			RangeTblEntry *rte = lfirst(lr);

			if (rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW &&
				(!derive_view_set_lock_now(rte->relid, AccessShareLock) ||
				 !lock_indexes(rte->relid)))
				return false;
		}
	return true;
}

/* Says whether two lists of locks name the same relations. */
bool
derive_view_same_locks(List *a, List *b)
{
	ListCell *la, *lb;

	if (list_length(a) != list_length(b))
		return false;
	forboth (la, a, lb, b)
		if (((TickLock *) lfirst(la))->relid != ((TickLock *) lfirst(lb))->relid)
			return false;
	return true;
}
