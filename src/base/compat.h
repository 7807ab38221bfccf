/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  All differences between the supported versions of PostgreSQL, 15 to 18.
 *
 * Each entry names the upstream commit by its subject.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_COMPAT_H
#define DERIVE_BASE_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "pg_derive supports PostgreSQL 15 to 18"
#endif

/* 17: "Support custom wait events for wait event type "Extension"". */
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 170000
#define derive_compat_wait_event(name) WaitEventExtensionNew(name)
#else
#define derive_compat_wait_event(name) PG_WAIT_EXTENSION
#endif

/* plan */

#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"

#if PG_VERSION_NUM >= 160000
/* "Make Vars be outer-join-aware." */
#define derive_flatten_join_vars(query, node) flatten_join_alias_vars(NULL, query, node)
#else
#define derive_flatten_join_vars(query, node) flatten_join_alias_vars(query, node)
#endif

#if PG_VERSION_NUM >= 160000
/* "Make Vars be outer-join-aware." */
#define derive_clear_nullingrels(var) ((var)->varnullingrels = NULL)
#else
#define derive_clear_nullingrels(var) ((void) 0)
#endif

#if PG_VERSION_NUM >= 180000
/* "Introduce an RTE for the grouping step" */
#define derive_flatten_group_vars(query, node) \
	((query)->hasGroupRTE ? flatten_group_exprs(NULL, query, node) : (node))
#else
#define derive_flatten_group_vars(query, node) (node)
#endif

#if PG_VERSION_NUM >= 170000
/* "Support +/- infinity in the interval data type." */
#define DERIVE_INTERVAL_HAS_INFINITY true
#else
#define DERIVE_INTERVAL_HAS_INFINITY false
#endif

#if PG_VERSION_NUM < 180000
/* "Virtual generated columns" */
#define ATTRIBUTE_GENERATED_VIRTUAL 'v'
#endif

#include "access/htup_details.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteManip.h"
#include "utils/rel.h"

/* Makes a query's range table entry for a relation that is locked, all columns readable. */
static inline RangeTblEntry *
derive_compat_make_relation_rte(Query *query, Relation relation)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item = addRangeTableEntryForRelation(
		pstate, relation, AccessShareLock, NULL, true, true);

#if PG_VERSION_NUM >= 160000
	/* 16: "Rework query relation permission checking" */
	query->rteperminfos = lappend(query->rteperminfos, item->p_perminfo);
	item->p_rte->perminfoindex = list_length(query->rteperminfos);
#endif
	return item->p_rte;
}

/* Makes a range table entry that is a relation no longer ask for rights. */
static inline void
derive_compat_forget_permissions(RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	/* 16: "Rework query relation permission checking" */
	rte->perminfoindex = 0;
#else
	rte->requiredPerms = 0;
	rte->selectedCols = NULL;
#endif
}

/* Gives a query a copy of the range table of another one. */
static inline void
derive_compat_copy_range_table(Query *to, const Query *from)
{
	to->rtable = copyObject(from->rtable);
#if PG_VERSION_NUM >= 160000
	to->rteperminfos = copyObject(from->rteperminfos);
#endif
}

/* Appends a subquery's range table to that of the query that takes its place. */
static inline void
derive_compat_combine_range_tables(Query *query, Query *sub)
{
#if PG_VERSION_NUM >= 160000
	/* 16: "Rework query relation permission checking" */
	CombineRangeTables(&query->rtable, &query->rteperminfos, sub->rtable,
					   sub->rteperminfos);
#else
	query->rtable = list_concat(query->rtable, sub->rtable);
#endif
}

/* 18: "Add OLD/NEW support to RETURNING in DML queries.": one more argument. */
#if PG_VERSION_NUM >= 180000
#define derive_compat_replace_vars(node, varno, rte, targets, sublinks) \
	ReplaceVarsFromTargetList((node), (varno), 0, (rte), (targets), 0,  \
							  REPLACEVARS_REPORT_ERROR, 0, (sublinks))
#else
#define derive_compat_replace_vars(node, varno, rte, targets, sublinks) \
	ReplaceVarsFromTargetList((node), (varno), 0, (rte), (targets),     \
							  REPLACEVARS_REPORT_ERROR, 0, (sublinks))
#endif

/* 18: "Relax ordering-related hardcoded btree requirements in parsing": a new name. */
#if PG_VERSION_NUM >= 180000
#define derive_compat_op_interpretation(opno) get_op_index_interpretation(opno)
#else
#define derive_compat_op_interpretation(opno) get_op_btree_interpretation(opno)
#endif

/* 18: "Add OLD/NEW support to RETURNING in DML queries.": one more argument. */
#if PG_VERSION_NUM >= 180000
#define derive_compat_expand_rte(rte, index, names, vars) \
	expandRTE((rte), (index), 0, VAR_RETURNING_DEFAULT, -1, false, (names), (vars))
#else
#define derive_compat_expand_rte(rte, index, names, vars) \
	expandRTE((rte), (index), 0, -1, false, (names), (vars))
#endif

#include "catalog/pg_constraint.h"

/* Says of a column that is marked NOT NULL whether all rows that are there obey that. */
static inline bool
derive_compat_not_null_is_valid(Oid relid, AttrNumber attnum)
{
#if PG_VERSION_NUM >= 180000
	/* 18: "Allow NOT NULL constraints to be added as NOT VALID" */
	HeapTuple tuple = findNotNullConstraintAttnum(relid, attnum);
	bool result = !HeapTupleIsValid(tuple) ||
				  ((Form_pg_constraint) GETSTRUCT(tuple))->convalidated;

	if (HeapTupleIsValid(tuple))
		heap_freetuple(tuple);
	return result;
#else
	return true;
#endif
}

/* 16: "Make Vars be outer-join-aware.": takes back what an outer join has marked. */
#if PG_VERSION_NUM >= 160000
#define derive_compat_forget_nulling(var, join) \
	((var)->varnullingrels = bms_del_member((var)->varnullingrels, (join)))
#else
#define derive_compat_forget_nulling(var, join) ((void) (var), (void) (join))
#endif

/* 18: "Introduce an RTE for the grouping step": forgets it when nothing refers to it. */
#if PG_VERSION_NUM >= 180000
#define derive_compat_no_group_rte(query) ((query)->hasGroupRTE = false)
#define derive_compat_group_exprs(rte) ((rte)->groupexprs)
#else
#define derive_compat_no_group_rte(query) ((void) (query))
#define derive_compat_group_exprs(rte) ((void) (rte), NIL)
#endif

/* ---------- capture ---------- */

/* 16: "New header varatt.h split off from postgres.h" */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18: "Introduce CompactAttribute array in TupleDesc": it must follow each attribute. */
#if PG_VERSION_NUM >= 180000
#define derive_compat_attribute_changed(desc, i) populate_compact_attribute((desc), (i))
#else
#define derive_compat_attribute_changed(desc, i) \
	(TupleDescAttr((desc), (i))->attcacheoff = -1)
#endif

/* 18: "Add ExecCopySlotMinimalTupleExtra()." */
#if PG_VERSION_NUM >= 180000
#define derive_compat_form_minimal_tuple(desc, values, isnull) \
	heap_form_minimal_tuple((desc), (values), (isnull), 0)
#else
#define derive_compat_form_minimal_tuple(desc, values, isnull) \
	heap_form_minimal_tuple((desc), (values), (isnull))
#endif

/* 17: "Remove ReorderBufferTupleBuf structure": changes hold plain heap tuples. */
#if PG_VERSION_NUM >= 170000
#define derive_compat_change_tuple(change_tuple) (change_tuple)
#else
#define derive_compat_change_tuple(change_tuple) \
	((change_tuple) ? &(change_tuple)->tuple : NULL)
#endif

/*
 * 17: "Allow to enable failover property for replication slots via SQL API.",
 * "Add a slot synchronization function.": one more argument each.  A slot of ours is a
 * failover slot; one that was copied to this server while it was a standby is synced.
 */
#if PG_VERSION_NUM >= 170000
#define derive_compat_slot_create(name, persistency) \
	ReplicationSlotCreate((name), true, (persistency), false, true, false)
#define derive_compat_slot_is_synced(slot) ((slot)->data.synced)
#else
#define derive_compat_slot_create(name, persistency) \
	ReplicationSlotCreate((name), true, (persistency), false)
#define derive_compat_slot_is_synced(slot) false
#endif

/* 18: "Raise an error while trying to acquire an invalid slot." */
#if PG_VERSION_NUM >= 180000
#define derive_compat_slot_acquire(name) ReplicationSlotAcquire((name), false, false)
#else
#define derive_compat_slot_acquire(name) ReplicationSlotAcquire((name), false)
#endif

#include "access/xact.h"
#include "replication/snapbuild.h"

/* 16: "Fix catalog lookup with the wrong snapshot during logical decoding." */
#if PG_VERSION_NUM >= 160000
#define derive_compat_snapshot_commit(builder, lsn, xid, commit)                   \
	SnapBuildCommitTxn(builder, lsn, xid, (commit)->nsubxacts, (commit)->subxacts, \
					   (commit)->xinfo)
#else
#define derive_compat_snapshot_commit(builder, lsn, xid, commit) \
	SnapBuildCommitTxn(builder, lsn, xid, (commit)->nsubxacts, (commit)->subxacts)
#endif

/* 16: "Replace replication slot's invalidated_at LSN with an enum" */
#if PG_VERSION_NUM >= 160000
#define derive_compat_slot_is_lost(slot) ((slot)->data.invalidated != RS_INVAL_NONE)
#define derive_compat_slot_lost_wal(slot) \
	((slot)->data.invalidated == RS_INVAL_WAL_REMOVED)
#else
#define derive_compat_slot_lost_wal(slot) true
#define derive_compat_slot_is_lost(slot)                  \
	(!XLogRecPtrIsInvalid((slot)->data.invalidated_at) && \
	 XLogRecPtrIsInvalid((slot)->data.restart_lsn))
#endif

/* 16: "Fix the logical replication timeout during large transactions.": core does it. */
#if PG_VERSION_NUM >= 160000
#define derive_compat_change_skipped(ctx) ((void) (ctx))
#else
#define derive_compat_change_skipped(ctx) OutputPluginUpdateProgress((ctx), false)
#endif

/* ---- maintain ---- */

#if PG_VERSION_NUM >= 180000
/* "Show index search count in EXPLAIN ANALYZE" (18) */
#define derive_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0)
#else
#define derive_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), (nkeys), 0)
#endif

#if PG_VERSION_NUM >= 160000
/* "Ignore BRIN indexes when checking for HOT updates" (16) */
#define DeriveIndexesToUpdate TU_UpdateIndexes
#define derive_update_wants_indexes(u) ((u) != TU_None)
#define derive_insert_index_tuples(rri, slot, estate, update, u)               \
	ExecInsertIndexTuples((rri), (slot), (estate), (update), false, NULL, NIL, \
						  (update) && (u) == TU_Summarizing)
#else
#define DeriveIndexesToUpdate bool
#define derive_update_wants_indexes(u) (u)
#define derive_insert_index_tuples(rri, slot, estate, update, u) \
	ExecInsertIndexTuples((rri), (slot), (estate), (update), false, NULL, NIL)
#endif

#if PG_VERSION_NUM >= 180000
/* "Track unpruned relids to avoid processing pruned relations" (18) */
#define derive_init_range_table(estate, rte)                                         \
	do                                                                               \
	{                                                                                \
		List *perms = NIL;                                                           \
		addRTEPermissionInfo(&perms, (rte));                                         \
		ExecInitRangeTable((estate), list_make1(rte), perms, bms_make_singleton(1)); \
	} while (0)
#elif PG_VERSION_NUM >= 160000
/* "Rework query relation permission checking" (16) */
#define derive_init_range_table(estate, rte)                  \
	do                                                        \
	{                                                         \
		List *perms = NIL;                                    \
		addRTEPermissionInfo(&perms, (rte));                  \
		ExecInitRangeTable((estate), list_make1(rte), perms); \
	} while (0)
#else
#define derive_init_range_table(estate, rte) ExecInitRangeTable((estate), list_make1(rte))
#endif

/* ---------- large transactions ---------- */

#if PG_VERSION_NUM >= 160000
/* 16: "Add macros for ReorderBufferTXN toptxn." */
#define derive_compat_top_transaction(txn) rbtxn_get_toptxn(txn)
#else
#define derive_compat_top_transaction(txn) ((txn)->toptxn ? (txn)->toptxn : (txn))
#endif

/* ---------- logical messages ---------- */

#include "replication/message.h"

/* 17: "Add option to force a flush in pg_logical_emit_message()": one more argument. */
#if PG_VERSION_NUM >= 170000
#define derive_compat_log_message(prefix, content, len, transactional) \
	LogLogicalMessage((prefix), (content), (len), (transactional), false)
#else
#define derive_compat_log_message(prefix, content, len, transactional) \
	LogLogicalMessage((prefix), (content), (len), (transactional))
#endif

/* ---------- api ---------- */

#include "executor/executor.h"
#include "catalog/pg_class.h"
#include "nodes/parsenodes.h"

#if PG_VERSION_NUM >= 160000
/* 16: "Refactor ownercheck functions" made them one. */
#include "catalog/pg_database.h"
#include "utils/acl.h"
#define pg_class_ownercheck(relid, role) \
	object_ownercheck(RelationRelationId, relid, role)
#define pg_database_ownercheck(dboid, role) \
	object_ownercheck(DatabaseRelationId, dboid, role)
#define pg_proc_aclcheck(function, role, mode) \
	object_aclcheck(ProcedureRelationId, function, role, mode)
#endif

/*
 * Throws unless the current user may read what a query's own range table names, whoever it
 * was made for.
 */
static inline void
derive_check_query_permissions(Query *query)
{
	ListCell *lc;

#if PG_VERSION_NUM >= 160000
	/* 16: "Rework query relation permission checking" */
	foreach (lc, query->rteperminfos)
		((RTEPermissionInfo *) lfirst(lc))->checkAsUser = InvalidOid;
	ExecCheckPermissions(query->rtable, query->rteperminfos, true);
#else
	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		rte->checkAsUser = InvalidOid;
		/* PostgreSQL 15 keeps two entries for the view itself in its query. */
		if (rte->relkind == RELKIND_VIEW)
			rte->requiredPerms = 0;
	}
	ExecCheckRTPerms(query->rtable, true);
#endif
}

#endif /* DERIVE_BASE_COMPAT_H */
