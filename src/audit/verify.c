/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  Comparing a view with its query at the view's own frontier.
 *
 * The difficulty is that no ordinary snapshot shows both sides: a tick computes
 * the view from the sources as seen by its snapshot S', but its own rows become
 * visible only when it commits, as transaction X; whoever sees X also sees the
 * sources as they were later.  But the set "visible in S', and X" is a perfectly good
 * MVCC snapshot, if nobody removes the row versions that it needs.  So:
 *  1. the calling statement holds a snapshot, whose xmin was advertised before S' was
 *     taken, so vacuum keeps everything that S' can see;
 *  2. ask the applier for a tick that writes the frontier's row, and wait for it;
 *  3. read that row: its content is S', and its xmin is X;
 *  4. run both sides under S' plus X, as the view's owner.
 * Ticks go on meanwhile: what they write is not in the snapshot.
 *
 * Subtransactions of X wrote the views' rows.  The snapshot is marked as
 * suboverflowed, so that the visibility check maps each to its top-level
 * transaction first.
 *
 * Rows are compared as EXCEPT ALL does, by the default equality of their types;
 * columns of types that have none are compared as text.
 *
 * Runs in the caller's backend.  Locks: ACCESS SHARE on the view and its sources, before
 * step 2.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "audit/verify.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/owner.h"
#include "base/wait_event.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "maintain/frontier.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "pgstat.h"
#include "plan/region.h"
#include "plan/surgery.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#define LOOK_AGAIN_MS 100
#define MAX_TRIES 50

/* Waits for a tick that began after now and wrote the frontier's row. */
static void
wait_for_frontier(Pipeline *pipeline)
{
	uint64 request;

	pg_atomic_fetch_add_u64(&pipeline->frontier_request, 1);
	request = pg_atomic_add_fetch_u64(&pipeline->tick_request, 1);
	derive_pipeline_wake_applier(pipeline);
	ConditionVariablePrepareToSleep(&pipeline->tick_cv);
	while (pg_atomic_read_u64(&pipeline->tick_done) < request)
	{
		CHECK_FOR_INTERRUPTS();
		if (pipeline->dboid != MyDatabaseId)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("the pipeline of this database was removed")));
		if (ConditionVariableTimedSleep(&pipeline->tick_cv, LOOK_AGAIN_MS,
										derive_wait_event(WAIT_VERIFY_FRONTIER)))
			derive_pipeline_wake_applier(pipeline);
	}
	ConditionVariableCancelSleep();
}

/* Throws if the view is not live; returns whether it is at the pipeline's frontier. */
static bool
is_comparable(const CatalogView *view)
{
	CatalogView *now = derive_catalog_find_view(view->view);
	const char *state;

	if (now == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the derived view was dropped meanwhile")));
	state = now->paused ? "paused" : (now->state ? now->state : "building");
	if (strcmp(state, "live") != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("derived view \"%s\" is %s", get_rel_name(view->view), state),
			 errdetail("%s", now->reason && now->reason[0] != '\0' &&
									 pg_class_ownercheck(view->view, GetUserId())
								 ? now->reason
								 : "Only a live view can be compared with its query.")));
	return now->frontier == NULL;
}

/* Throws because the view is not at the pipeline's frontier. */
static void
report_behind(const CatalogView *view)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("derived view \"%s\" is behind the other views",
						   get_rel_name(view->view)),
					errdetail("One of its sources is locked by another transaction."),
					errhint("Try again when that transaction has ended.")));
}

/* Locks all that a query reads, also in subqueries and ordinary views; a walker. */
static bool
lock_walker(Node *node, void *context)
{
	ListCell *lc, *lp;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, lock_walker, context);
	foreach (lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind != RTE_RELATION)
			continue;
		LockRelationOid(rte->relid, AccessShareLock);
		if (rte->relkind == RELKIND_VIEW && rte->inFromCl)
		{
			Relation view = relation_open(rte->relid, NoLock);

			lock_walker((Node *) get_view_query(view), context);
			relation_close(view, NoLock);
		}
		foreach (lp, find_all_inheritors(rte->relid, AccessShareLock, NULL))
			LockRelationOid(lfirst_oid(lp), AccessShareLock);
	}
	return query_tree_walker((Query *) node, lock_walker, context,
							 QTW_IGNORE_JOINALIASES);
}

/*
 * Locks the view and what its query reads.  A TRUNCATE after this waits; it would take
 * rows away from snapshots that should still see them.
 */
static void
lock_relations(const CatalogView *view)
{
	Relation query = relation_open(view->query, AccessShareLock);

	LockRelationOid(view->view, AccessShareLock);
	lock_walker((Node *) get_view_query(query), NULL);
	relation_close(query, NoLock);
}

/* Returns a pg_snapshot as text. */
static char *
snapshot_text(Datum value)
{
	Oid function;
	bool is_varlena;

	getTypeOutputInfo(PG_SNAPSHOTOID, &function, &is_varlena);
	return OidOutputFunctionCall(function, value);
}

/*
 * Reads the frontier's row by the newest snapshot; returns its content and the
 * transaction that wrote it.
 */
static Frontier *
read_frontier(TransactionId *writer)
{
	Oid relid = get_relname_relid("frontier",
								  get_namespace_oid(DERIVE_STATE_SCHEMA, false));
	Relation rel = table_open(relid, AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	HeapTuple tuple = heap_getnext(scan, ForwardScanDirection);
	Frontier *frontier;
	bool isnull;
	Datum value;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "the pipeline has no frontier");
	value = heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull);
	frontier = derive_frontier_parse(snapshot_text(value));
	*writer = HeapTupleHeaderGetXmin(tuple->t_data);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return frontier;
}

/*
 * Waits until the frontier's row is new and the view is at it, before and after that row
 * is read, but not for ever.  Returns the frontier and the transaction that wrote it.
 */
static Frontier *
wait_for_comparable_frontier(Pipeline *pipeline, const CatalogView *view,
							 TransactionId *writer)
{
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		Frontier *frontier;

		wait_for_frontier(pipeline);
		if (is_comparable(view))
		{
			frontier = read_frontier(writer);
			if (is_comparable(view))
				return frontier;
		}
		pg_usleep(LOOK_AGAIN_MS * 1000L);
	}
	report_behind(view);
	return NULL;
}

/* Makes the snapshot "visible in the frontier, and this transaction". */
static Snapshot
make_snapshot(const Frontier *frontier, TransactionId writer)
{
	SnapshotData *snapshot = palloc0(sizeof(SnapshotData));
	TransactionId next = ReadNextTransactionId();
	TransactionId xid = (TransactionId) frontier->xmax;
	int room = frontier->nxip + (int) (next - xid) + 1;

	snapshot->snapshot_type = SNAPSHOT_MVCC;
	snapshot->xmin = (TransactionId) frontier->xmin;
	snapshot->xmax = next;
	snapshot->xip = palloc(sizeof(TransactionId) * room);
	for (int i = 0; i < frontier->nxip; i++)
		snapshot->xip[snapshot->xcnt++] = (TransactionId) frontier->xip[i];
	while (TransactionIdPrecedes(xid, next))
	{
		if (xid != writer)
			snapshot->xip[snapshot->xcnt++] = xid;
		TransactionIdAdvance(xid);
	}
	snapshot->suboverflowed = true;
	snapshot->curcid = GetCurrentCommandId(false);
	return snapshot;
}

/* Returns a view's columns as a SELECT list; types without equality are cast to text. */
static char *
comparable_columns(Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		TypeCacheEntry *type;

		if (att->attisdropped)
			continue;
		type = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR);
		appendStringInfo(&buf, "%s%s%s", buf.len > 0 ? ", " : "",
						 quote_identifier(NameStr(att->attname)),
						 OidIsValid(type->eq_opr) ? "" : "::pg_catalog.text");
	}
	relation_close(rel, NoLock);
	return buf.data;
}

/* Returns the comparison's SQL: two-way EXCEPT ALL, counted by row. */
static char *
comparison_sql(const CatalogView *view)
{
	char *columns = comparable_columns(view->view);
	char *target = quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(view->view)), get_rel_name(view->view));
	Query *query = derive_catalog_read_query(view->query, NoLock);

	/* or a merged column of a join would be printed as one that a subquery hides */
	derive_surgery_flatten(query);
	return psprintf("WITH expected AS MATERIALIZED (SELECT %s FROM (%s) q),"
					" actual AS MATERIALIZED (SELECT %s FROM %s v)"
					" SELECT kind, pg_catalog.count(*), r FROM ("
					"SELECT 'missing'::text AS kind, pg_catalog.to_jsonb(d) AS r"
					" FROM (TABLE expected EXCEPT ALL TABLE actual) d"
					" UNION ALL "
					"SELECT 'unexpected', pg_catalog.to_jsonb(d)"
					" FROM (TABLE actual EXCEPT ALL TABLE expected) d) x"
					" GROUP BY kind, r ORDER BY kind, r",
					columns, derive_query_deparse(query, false), columns, target);
}

/* Returns the owner of a view's table. */
static Oid
view_owner(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	Oid owner = rel->rd_rel->relowner;

	table_close(rel, NoLock);
	return owner;
}

void
derive_verify_view(Pipeline *pipeline, const CatalogView *view, Tuplestorestate *result,
				   TupleDesc desc)
{
	TransactionId writer;
	Frontier *frontier;
	Oid owner = view_owner(view->view);
	OwnerScope scope;
	SPIPlanPtr plan;
	char *sql;

	lock_relations(view);
	frontier = wait_for_comparable_frontier(pipeline, view, &writer);

	derive_owner_enter(&scope, owner);
	sql = comparison_sql(view);
	plan = SPI_prepare(sql, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\"", sql);
	if (SPI_execute_snapshot(plan, NULL, NULL, make_snapshot(frontier, writer),
							 InvalidSnapshot, true, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", sql);
	derive_owner_leave(&scope);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum values[3];
		bool nulls[3];

		for (int c = 0; c < 3; c++)
			values[c] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, c + 1,
									  &nulls[c]);
		tuplestore_putvalues(result, desc, values, nulls);
	}
}
