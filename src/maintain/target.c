/*-------------------------------------------------------------------------
 *
 * target.c
 *	  Finding and changing rows of a view's relation or of its fold state.
 *
 * Rows are written with the table access method and the executor's index
 * routines, not with SQL: HOT updates stay possible, and all indexes are kept current.
 * Row triggers are refused: a BEFORE trigger could change what is stored, and what an
 * AFTER trigger writes in the tick's transaction could be seen by a recompute of
 * another view in the same tick, though it is not in its snapshot.  So there is no need
 * for ExecSimpleRelation*, which would also insist on a replica identity when some
 * publication is FOR ALL TABLES.
 *
 * Visibility.  A target is open for one run, and all of the run happens in one
 * command: rows are looked for with the active snapshot, which does not see what
 * the run itself has written.  That is right because the callers touch each key
 * (or, in a relation without key, each image) at most once in a run, so the row
 * that is asked for is always one from before.  It also lets a query that reads
 * the relation feed its changes: the query cannot see them.
 *
 * Hints.  A row that changes in each tick has a chain of versions that grows as long
 * as some snapshot keeps them; to walk it costs milliseconds in the end.  So the
 * last places of some rows are remembered and tried first.  A hint may be wrong in
 * every way (rolled back, moved, vacuumed): a row counts only if it is visible and
 * has the key, which is unique.
 *
 * Locks: the caller holds RowExclusiveLock on the relation, or it is taken here;
 * only the applier writes it.  Memory: a target lives in the context that is
 * current when it is opened.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "catalog/pg_trigger.h"
#include "base/errors.h"
#include "catalog/pg_am_d.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "maintain/target.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "shared/progress.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define PROGRESS_ROWS 1000 /* after so many rows derive.progress is brought up to date */
#define NHINTS 64

typedef struct TargetHint
{
	uint32 hash; /* of the key */
	ItemPointerData tid;
} TargetHint;

struct Target
{
	TargetSpec *spec;
	MemoryContext context; /* of the scans, which outlive a caller's row */
	Relation rel;
	Snapshot snapshot;
	EState *estate;
	ResultRelInfo *rri;
	BulkInsertState bulk; /* not NULL: first build, rows come in bulk */
	SourceDelta *out;	  /* delta of this relation for views above it, or NULL */
	int64 changed;
	BlockNumber nblocks; /* at the start: hints beyond are wrong */

	int nkeys;
	AttrNumber *attnums; /* [nkeys] of the relation, in the index's order; 0: the hash */
	ScanKeyData *equal;	 /* [nkeys] "column = NULL-less argument" */
	ScanKeyData *keys;	 /* [nkeys] of the current search */
	IndexScanDesc scan;	 /* of index, kept over the searches */
	TableScanDesc table_scan; /* TARGET_ONLY_ROW: of the current search */
	TupleTableSlot *found;	  /* row of the current search */
	TupleTableSlot *wanted;	  /* minimal: the row to be removed */
};

/* Collects what is known of a relation, in CurrentMemoryContext. */
TargetSpec *
derive_target_spec(Oid relid, TargetAccess access, List *key)
{
	TargetSpec *spec = palloc0(sizeof(TargetSpec));
	Relation rel = table_open(relid, AccessShareLock);

	spec->relid = relid;
	spec->access = access;
	spec->key = key;
	spec->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	spec->shape = derive_image_shape(spec->desc);
	if (access != TARGET_BY_HASH && rel->rd_rel->relam == HEAP_TABLE_AM_OID)
		spec->hints = palloc0(sizeof(TargetHint) * NHINTS);
	table_close(rel, NoLock);
	return spec;
}

/* Tells whether an index enforces that the key columns, in any order, are unique. */
static bool
is_key_index(IndexInfo *info, Relation index, List *key)
{
	if (!info->ii_Unique || !index->rd_index->indimmediate || info->ii_Predicate != NIL ||
		info->ii_NumIndexKeyAttrs != list_length(key))
		return false;
	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
	{
		if (!list_member_int(key, info->ii_IndexAttrNumbers[i]))
			return false;
	}
	return true;
}

/*
 * Tells whether an index is on derive_state.row_hash of the whole row, with or without
 * a column before it.
 */
static bool
is_hash_index(IndexInfo *info)
{
	int last = info->ii_NumIndexKeyAttrs - 1;
	FuncExpr *call;
	Node *argument;

	if (last > 1 || info->ii_Predicate != NIL || list_length(info->ii_Expressions) != 1 ||
		info->ii_IndexAttrNumbers[last] != InvalidAttrNumber)
		return false;
	call = (FuncExpr *) linitial(info->ii_Expressions);
	if (!IsA(call, FuncExpr) || list_length(call->args) != 1)
		return false;
	argument = (Node *) linitial(call->args);
	return IsA(argument, Var) && ((Var *) argument)->varattno == InvalidAttrNumber &&
		   strcmp(get_func_name(call->funcid), "row_hash") == 0 &&
		   strcmp(get_namespace_name(get_func_namespace(call->funcid)), "derive_state") ==
			   0;
}

/* Finds the index that rows are looked up by among the open ones. */
static Relation
find_index(Target *target)
{
	TargetSpec *spec = target->spec;
	ResultRelInfo *rri = target->rri;

	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		Relation index = rri->ri_IndexRelationDescs[i];
		IndexInfo *info = rri->ri_IndexRelationInfo[i];

		if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid)
			continue;
		if (spec->access == TARGET_BY_KEY ? is_key_index(info, index, spec->key)
										  : is_hash_index(info))
			return index;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("relation \"%s\" lacks the index that its maintenance needs",
					RelationGetRelationName(target->rel)),
			 spec->access == TARGET_BY_KEY
				 ? errdetail("There is no valid unique index on its key columns.")
				 : errdetail(
					   "There is no valid index on derive_state.row_hash of its row.")));
}

/* Prepares the searches by index: scan keys and the scan itself. */
static void
begin_searches(Target *target)
{
	Relation index = find_index(target);

	target->nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	target->attnums = palloc(sizeof(AttrNumber) * target->nkeys);
	target->equal = palloc0(sizeof(ScanKeyData) * target->nkeys);
	target->keys = palloc0(sizeof(ScanKeyData) * target->nkeys);
	for (int i = 0; i < target->nkeys; i++)
	{
		Oid type = index->rd_opcintype[i];
		Oid equal = get_opfamily_member(index->rd_opfamily[i], type, type,
										BTEqualStrategyNumber);

		if (!OidIsValid(equal))
			elog(ERROR, "no equality in the operator family of index %u",
				 RelationGetRelid(index));
		target->attnums[i] = index->rd_index->indkey.values[i];
		ScanKeyEntryInitialize(&target->equal[i], 0, i + 1, BTEqualStrategyNumber, type,
							   index->rd_indcollation[i], get_opcode(equal), (Datum) 0);
	}
	target->scan = derive_index_beginscan(target->rel, index, target->snapshot,
										  target->nkeys);
}

/* Refuses row triggers; the statement trigger that keeps others from writing is ours. */
static void
check_triggers(Target *target)
{
	TriggerDesc *triggers = target->rel->trigdesc;

	if (triggers == NULL)
		return;
	for (int i = 0; i < triggers->numtriggers; i++)
		if (TRIGGER_FOR_ROW(triggers->triggers[i].tgtype))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("derived view \"%s\" has a row trigger",
								   RelationGetRelationName(target->rel)),
							errdetail("Triggers and foreign keys cannot refer to a "
									  "derived view."),
							errhint("Drop trigger \"%s\" or the foreign key.",
									triggers->triggers[i].tgname)));
}

/*
 * Opens a relation for one run, with the active snapshot for searches.  first:
 * it is empty and will only be inserted into.
 */
Target *
derive_target_open(TargetSpec *spec, SourceDelta *out, bool first)
{
	Target *target = palloc0(sizeof(Target));
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	target->spec = spec;
	target->context = CurrentMemoryContext;
	target->out = out;
	target->snapshot = GetActiveSnapshot();
	target->rel = table_open(spec->relid, RowExclusiveLock);

	target->nblocks = RelationGetNumberOfBlocks(target->rel);

	rte->rtekind = RTE_RELATION;
	rte->relid = spec->relid;
	rte->relkind = target->rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;

	target->estate = CreateExecutorState();
	target->estate->es_snapshot = target->snapshot;
	target->estate->es_output_cid = GetCurrentCommandId(true);
	derive_init_range_table(target->estate, rte);
	target->rri = makeNode(ResultRelInfo);
	InitResultRelInfo(target->rri, target->rel, 1, NULL, 0);
	target->estate->es_opened_result_relations = lappend(
		target->estate->es_opened_result_relations, target->rri);
	ExecOpenIndices(target->rri, false);
	check_triggers(target);

	target->found = table_slot_create(target->rel, NULL);
	target->wanted = MakeSingleTupleTableSlot(spec->desc, &TTSOpsMinimalTuple);
	if (first)
		target->bulk = GetBulkInsertState();
	else if (spec->access != TARGET_ONLY_ROW)
		begin_searches(target);
	return target;
}

/* Ends what a search holds: pins and, without an index, the scan. */
static void
end_search(Target *target)
{
	ExecClearTuple(target->found);
	if (target->table_scan != NULL)
		table_endscan(target->table_scan);
	target->table_scan = NULL;
}

/* Closes a relation and returns how many rows were changed. */
int64
derive_target_close(Target *target)
{
	int64 changed = target->changed;

	end_search(target);
	if (target->scan != NULL)
		index_endscan(target->scan);
	if (target->bulk != NULL)
		FreeBulkInsertState(target->bulk);

	ExecDropSingleTupleTableSlot(target->found);
	ExecDropSingleTupleTableSlot(target->wanted);
	ExecCloseIndices(target->rri);
	ExecResetTupleTable(target->estate->es_tupleTable, false);
	FreeExecutorState(target->estate);
	table_close(target->rel, NoLock);
	pfree(target);
	return changed;
}

/* Returns what is known of the relation besides. */
TargetSpec *
derive_target_spec_of(Target *target)
{
	return target->spec;
}

/* Fills the scan key of one column. */
static void
set_key(Target *target, int i, Datum value, bool isnull)
{
	if (isnull)
		ScanKeyEntryInitialize(&target->keys[i], SK_ISNULL | SK_SEARCHNULL, i + 1,
							   InvalidStrategy, InvalidOid, InvalidOid, InvalidOid,
							   (Datum) 0);
	else
	{
		target->keys[i] = target->equal[i];
		target->keys[i].sk_argument = value;
	}
}

/*
 * Begins a search: by key, for rows with row's key; by hash, for rows that may have
 * row's image (which may be NULL otherwise); in a relation of one row, for any.
 */
static void
begin_search(Target *target, TupleTableSlot *row, MinimalTuple image)
{
	MemoryContext oldcontext = CurrentMemoryContext;

	end_search(target);
	switch (target->spec->access)
	{
		case TARGET_BY_KEY:
		case TARGET_BY_HASH:
			for (int i = 0; i < target->nkeys; i++)
			{
				bool isnull = false;
				Datum value;

				if (target->attnums[i] == InvalidAttrNumber)
					value = Int64GetDatum(
						derive_image_hash(target->spec->shape, image, row));
				else
					value = slot_getattr(row, target->attnums[i], &isnull);
				set_key(target, i, value, isnull);
			}
			MemoryContextSwitchTo(target->context);
			index_rescan(target->scan, target->keys, target->nkeys, NULL, 0);
			break;
		case TARGET_ONLY_ROW:
			MemoryContextSwitchTo(target->context);
			target->table_scan = table_beginscan(target->rel, target->snapshot, 0, NULL);
			break;
	}
	MemoryContextSwitchTo(oldcontext);
}

/* Moves to the next row of the current search; it is in target->found. */
static bool
next_found(Target *target)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(target->context);
	bool found;

	if (target->table_scan != NULL)
		found = table_scan_getnextslot(target->table_scan, ForwardScanDirection,
									   target->found);
	else
		found = index_getnext_slot(target->scan, ForwardScanDirection, target->found);
	MemoryContextSwitchTo(oldcontext);
	return found;
}

/* Returns the hash of a row's key for the hints. */
static uint32
hash_key(Target *target, TupleTableSlot *row)
{
	uint32 hash = 0;

	for (int i = 0; i < target->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(target->spec->desc, target->attnums[i] - 1);
		bool isnull;
		Datum value = slot_getattr(row, target->attnums[i], &isnull);

		hash = hash_combine(
			hash, isnull ? 0 : datum_image_hash(value, att->attbyval, att->attlen));
	}
	return hash;
}

/* Remembers where a row is now. */
static void
keep_hint(Target *target, TupleTableSlot *row)
{
	uint32 hash;

	if (target->spec->hints == NULL || target->bulk != NULL)
		return;
	hash = hash_key(target, row);
	target->spec->hints[hash % NHINTS].hash = hash;
	target->spec->hints[hash % NHINTS].tid = row->tts_tid;
}

/*
 * Looks where the row with row's key was last.  The page is pruned before, as an
 * index scan would do, or a row that changes all the time would fill page after page.
 */
static bool
find_at_hint(Target *target, TupleTableSlot *row)
{
	uint32 hash;
	TargetHint *hint;
	Buffer buffer;

	if (target->spec->hints == NULL)
		return false;
	hash = hash_key(target, row);
	hint = &target->spec->hints[hash % NHINTS];
	if (!ItemPointerIsValid(&hint->tid) || hint->hash != hash ||
		ItemPointerGetBlockNumber(&hint->tid) >= target->nblocks)
		return false;

	end_search(target);
	buffer = ReadBuffer(target->rel, ItemPointerGetBlockNumber(&hint->tid));
	heap_page_prune_opt(target->rel, buffer);
	ReleaseBuffer(buffer);
	return table_tuple_fetch_row_version(target->rel, &hint->tid, target->snapshot,
										 target->found) &&
		   derive_target_same_key(target, row, target->found);
}

/*
 * Returns the row with row's key (or the only row), or NULL.  The slot is the
 * target's own and good until the next search.
 */
TupleTableSlot *
derive_target_find(Target *target, TupleTableSlot *row)
{
	Assert(target->spec->access != TARGET_BY_HASH);
	if (find_at_hint(target, row))
		return target->found;
	begin_search(target, row, NULL);
	return next_found(target) ? target->found : NULL;
}

/* Tells whether two rows have the same key, NULL being a value like any other. */
bool
derive_target_same_key(Target *target, TupleTableSlot *a, TupleTableSlot *b)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		bool anull;
		bool bnull;
		Datum x = slot_getattr(a, target->attnums[i], &anull);
		Datum y = slot_getattr(b, target->attnums[i], &bnull);

		if (anull != bnull)
			return false;
		if (!anull &&
			!DatumGetBool(FunctionCall2Coll(&target->equal[i].sk_func,
											target->equal[i].sk_collation, x, y)))
			return false;
	}
	return true;
}

/* Counts a change and hands it to the views above. */
static void
note_change(Target *target, TupleTableSlot *row, int sign)
{
	if (target->out != NULL)
		derive_delta_add_source_row(target->out, row, sign);
}

/* Ends one change: whatever index expressions left in memory goes. */
static void
end_change(Target *target)
{
	target->changed++;
	if (target->changed % PROGRESS_ROWS == 0)
		derive_progress_rows(target->changed);
	ResetPerTupleExprContext(target->estate);
}

/* Inserts a row. */
void
derive_target_insert(Target *target, TupleTableSlot *row)
{
	row->tts_tableOid = target->spec->relid;
	table_tuple_insert(target->rel, row, GetCurrentCommandId(true),
					   target->bulk != NULL ? TABLE_INSERT_SKIP_FSM : 0, target->bulk);
	if (target->rri->ri_NumIndices > 0)
		list_free(
			derive_insert_index_tuples(target->rri, row, target->estate, false, TU_All));
	keep_hint(target, row);
	note_change(target, row, 1);
	end_change(target);
}

/* Updates a row that was found to be what row says. */
void
derive_target_update(Target *target, TupleTableSlot *found, TupleTableSlot *row)
{
	DeriveIndexesToUpdate indexes;

	note_change(target, found, -1);
	row->tts_tableOid = target->spec->relid;
	simple_table_tuple_update(target->rel, &found->tts_tid, row, target->snapshot,
							  &indexes);
	if (target->rri->ri_NumIndices > 0 && derive_update_wants_indexes(indexes))
		list_free(
			derive_insert_index_tuples(target->rri, row, target->estate, true, indexes));
	keep_hint(target, row);
	note_change(target, row, 1);
	end_change(target);
}

/* Deletes a row that was found. */
void
derive_target_delete(Target *target, TupleTableSlot *found)
{
	note_change(target, found, -1);
	simple_table_tuple_delete(target->rel, &found->tts_tid, target->snapshot);
	end_change(target);
}

/* Reports that the relation is not what the deltas say. */
static void
report_diverged(Target *target, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_DERIVE_VIEW_DIVERGED),
					errmsg("stored rows of \"%s\" are not what its changes say",
						   RelationGetRelationName(target->rel)),
					errdetail_internal("%s", detail),
					errhint("The view is recomputed; derive.refresh does it at once.")));
}

/* Returns the stored row that equals the given one; there must be one. */
static TupleTableSlot *
find_equal(Target *target, TupleTableSlot *row)
{
	bool other = false;

	if (find_at_hint(target, row) &&
		derive_image_rows_equal(target->spec->shape, row, target->found))
		return target->found;
	begin_search(target, row, NULL);
	while (next_found(target))
	{
		if (derive_image_rows_equal(target->spec->shape, row, target->found))
			return target->found;
		other = true;
	}
	report_diverged(target, other ? "A row that changes is stored with other values."
								  : "A row that changes is not stored.");
	return NULL; /* not reached */
}

/*
 * Makes old into new in one step; either may be NULL (but not both): an insert or a
 * delete.  Rows with equal images are left alone.  The stored row must be equal to
 * old.  Not for TARGET_BY_HASH.
 */
void
derive_target_replace(Target *target, TupleTableSlot *old, TupleTableSlot *new)
{
	TupleTableSlot *found;

	if (old == NULL)
	{
		derive_target_insert(target, new);
		return;
	}
	if (new != NULL && derive_image_rows_equal(target->spec->shape, old, new))
		return;
	found = find_equal(target, old);
	if (new != NULL)
		derive_target_update(target, found, new);
	else
		derive_target_delete(target, found);
}

/* Deletes some copies of a row that is given as an image. */
void
derive_target_remove(Target *target, MinimalTuple image, int64 copies)
{
	ExecStoreMinimalTuple(image, target->wanted, false);
	begin_search(target, target->wanted, image);
	while (copies > 0 && next_found(target))
	{
		CHECK_FOR_INTERRUPTS();
		if (!derive_image_rows_equal(target->spec->shape, target->wanted, target->found))
			continue;
		derive_target_delete(target, target->found);
		copies--;
	}
	end_search(target);
	ExecClearTuple(target->wanted);
	if (copies > 0)
		report_diverged(target, "A row that disappears is not stored.");
}
