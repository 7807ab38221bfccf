/*-------------------------------------------------------------------------
 *
 * partition_watch.c
 *	  Partitions and inheritance children that come and go with rows in them.
 *
 * ATTACH PARTITION, DETACH PARTITION, INHERIT, NO INHERIT and DROP TABLE change the rows
 * of the tables above without logging one of them.  For every source that is a table the
 * decoder keeps the list of relations below; at the commit
 * of a transaction that invalidated one of these, the list is read again under
 * the transaction's historic snapshot and compared.  Lists are read first at the
 * end of the first transaction that is decoded: its snapshot shows what everybody
 * who committed before sees.
 *
 * A partition that the transaction itself has created, and whose rows, if any,
 * were logged as rows of the partitioned table, is no reason to recompute: this is
 * the CREATE TABLE … PARTITION OF of every day.
 *
 * Of a transaction that is decoded in pieces the spool knows which tables earlier pieces have
 * changed, and whom their rows fed; and the lists that they have read, which are those of the
 * transaction alone, until it commits, and of nobody if it does not.  Then, or now and then in
 * between, others may have changed them, too, so they are read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/partition_watch.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* The relations below one source. */
typedef struct WatchedTree
{
	Oid relid; /* hash key */
	MapSource *source;
	bool known;	   /* members have been read */
	List *members; /* oids, sorted; in the watch's context */
} WatchedTree;

struct PartitionWatch
{
	MemoryContext context;
	bool complete; /* all sources that are tables are in trees, and known */
	HTAB *trees;   /* of WatchedTree */
};

/* Makes a watch that knows nothing yet. */
PartitionWatch *
derive_watch_create(MemoryContext parent)
{
	PartitionWatch *watch = MemoryContextAllocZero(parent, sizeof(PartitionWatch));
	HASHCTL ctl = {0};

	watch->context = AllocSetContextCreate(parent, "pg_derive partition watch",
										   ALLOCSET_SMALL_SIZES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(WatchedTree);
	ctl.hcxt = watch->context;
	watch->trees = hash_create("pg_derive partitioned sources", 16, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return watch;
}

void
derive_watch_set_interest(PartitionWatch *watch, RelationMap *map)
{
	HASH_SEQ_STATUS scan;
	WatchedTree *tree;

	watch->complete = false;
	hash_seq_init(&scan, watch->trees);
	while ((tree = hash_seq_search(&scan)) != NULL)
	{
		tree->source = derive_map_find_source(map, tree->relid);
		if (tree->source != NULL)
			continue;
		list_free(tree->members);
		hash_search(watch->trees, &tree->relid, HASH_REMOVE, NULL);
	}
}

/* Appends the tables directly below parent and, after them, those below these. */
static List *
read_members(Relation inherits, Oid parent, List *members)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	List *children = NIL;
	ListCell *lc;

	ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(parent));
	scan = systable_beginscan(inherits, InheritsParentIndexId, true, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);

		if (!form->inhdetachpending)
			children = lappend_oid(children, form->inhrelid);
	}
	systable_endscan(scan);

	foreach (lc, children)
		if (!list_member_oid(members, lfirst_oid(lc)))
			members = read_members(inherits, lfirst_oid(lc),
								   lappend_oid(members, lfirst_oid(lc)));
	return members;
}

/* Returns the sorted oids of everything below a table. */
static List *
read_tree(Oid source)
{
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);
	List *members = read_members(inherits, source, NIL);

	table_close(inherits, AccessShareLock);
	list_sort(members, list_oid_cmp);
	return members;
}

/* Returns true if a transaction, or a subtransaction of it, has this xid. */
static bool
is_of_transaction(ReorderBufferTXN *txn, TransactionId xid)
{
	dlist_iter iter;

	if (TransactionIdEquals(xid, txn->xid))
		return true;
	dlist_foreach (iter, &txn->subtxns)
		if (TransactionIdEquals(xid,
								dlist_container(ReorderBufferTXN, node, iter.cur)->xid))
			return true;
	return false;
}

/*
 * Returns true if the transaction has created a relation.  Its attribute "tableoid"
 * is written when the relation is made and never again.
 */
static bool
was_created_by(ReorderBufferTXN *txn, Oid relid)
{
	HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
									  Int16GetDatum(TableOidAttributeNumber));
	bool created;

	if (!HeapTupleIsValid(tuple))
		return false;
	created = is_of_transaction(txn, HeapTupleHeaderGetXmin(tuple->t_data));
	ReleaseSysCache(tuple);
	return created;
}

/* Returns true if a new member brings rows that were not logged as the source's. */
static bool
brings_rows(RelationMap *map, ReorderBufferTXN *txn, Spool *spool, MapSource *source,
			Oid member)
{
	if (derive_map_had_unfed_rows(map, member, source))
		return true;
	if (spool != NULL && derive_spool_has_changed(spool, member))
		return true; /* at the end of that piece it was no member */
	return !was_created_by(txn, member);
}

/* Returns true if going from one list of members to another changed the source's rows. */
static bool
rows_changed(RelationMap *map, ReorderBufferTXN *txn, Spool *spool, MapSource *source,
			 List *from, List *to)
{
	ListCell *lc;

	if (list_difference_oid(from, to) != NIL ||
		derive_map_had_stray_rows(map, source, to))
		return true;
	if (spool != NULL && derive_spool_has_strays(spool, source->source, to))
		return true;
	foreach (lc, from) /* gone for a while, perhaps */
		if (derive_map_had_unfed_rows(map, lfirst_oid(lc), source))
			return true;
	foreach (lc, list_difference_oid(to, from))
		if (brings_rows(map, txn, spool, source, lfirst_oid(lc)))
			return true;
	return false;
}

/* Returns true if the source or something below it was invalidated. */
static bool
was_touched(RelationMap *map, Oid source, List *members)
{
	ListCell *lc;

	if (derive_map_was_invalidated(map, source))
		return true;
	foreach (lc, members)
		if (derive_map_was_invalidated(map, lfirst_oid(lc)))
			return true;
	return false;
}

/* Returns true if a table had something below it when the transaction began, perhaps. */
static bool
may_have_had_members(Oid source, List *members)
{
	/* the mark that there were some outlives them for a while */
	return members != NIL || has_subclass(source);
}

/*
 * Returns what was below a source before, as a piece of a transaction with this spool, or, if
 * that is NULL, everybody sees it; *known: whether that has been read.
 */
static List *
members_before(const WatchedTree *tree, Spool *spool, bool *known)
{
	List *members = tree->members;

	*known = tree->known;
	if (spool != NULL && derive_spool_get_members(spool, tree->relid, &members))
		*known = true;
	return members;
}

/* Checks one tree; returns true if its source's rows have changed. */
static bool
check_tree(PartitionWatch *watch, RelationMap *map, ReorderBufferTXN *txn, Spool *spool,
		   WatchedTree *tree)
{
	bool known;
	List *before = members_before(tree, spool, &known);
	List *members;
	bool changed;
	MemoryContext old;

	if (spool != NULL && !tree->known)
		watch->complete = false; /* it is still to be read as everybody sees it */
	if (known && !was_touched(map, tree->relid, before))
		return false;
	members = read_tree(tree->relid);
	if (known)
		changed = rows_changed(map, txn, spool, tree->source, before, members);
	else
		changed = may_have_had_members(tree->relid, members) &&
				  was_touched(map, tree->relid, members);
	if (spool != NULL)
	{
		derive_spool_set_members(spool, tree->relid, members);
		return changed;
	}

	old = MemoryContextSwitchTo(watch->context);
	list_free(tree->members);
	tree->members = list_copy(members);
	tree->known = true;
	MemoryContextSwitchTo(old);
	return changed;
}

/* Finds out which sources are tables; one that is not there yet is asked for again. */
static void
classify(PartitionWatch *watch, RelationMap *map)
{
	ListCell *lc;

	watch->complete = true;
	foreach (lc, derive_map_sources(map))
	{
		MapSource *source = lfirst(lc);
		char relkind = get_rel_relkind(source->source);
		WatchedTree *tree;
		bool found;

		if (relkind == '\0')
			watch->complete = false;
		if (relkind != RELKIND_PARTITIONED_TABLE && relkind != RELKIND_RELATION)
			continue;
		tree = hash_search(watch->trees, &source->source, HASH_ENTER, &found);
		if (found)
			continue;
		tree->source = source;
		tree->known = false;
		tree->members = NIL;
	}
}

List *
derive_watch_commit(PartitionWatch *watch, RelationMap *map, ReorderBufferTXN *txn,
					Spool *spool)
{
	List *changed = NIL;
	HASH_SEQ_STATUS scan;
	WatchedTree *tree;

	if (watch->complete && !derive_map_any_invalidated(map))
		return NIL;
	if (!watch->complete)
		classify(watch, map);
	hash_seq_init(&scan, watch->trees);
	while ((tree = hash_seq_search(&scan)) != NULL)
		if (check_tree(watch, map, txn, spool, tree))
			changed = lappend(changed, tree->source);
	return changed;
}

List *
derive_watch_touched(PartitionWatch *watch, RelationMap *map, Spool *spool)
{
	List *touched = NIL;
	HASH_SEQ_STATUS scan;
	WatchedTree *tree;

	if (!derive_map_any_invalidated(map))
		return NIL;
	if (!watch->complete)
		return derive_map_sources(map);
	hash_seq_init(&scan, watch->trees);
	while ((tree = hash_seq_search(&scan)) != NULL)
	{
		bool known;
		List *members = members_before(tree, spool, &known);

		if (!known || was_touched(map, tree->relid, members))
			touched = lappend(touched, tree->source);
	}
	return touched;
}

void
derive_watch_stream_commit(PartitionWatch *watch, Spool *spool)
{
	HASH_SEQ_STATUS scan;
	WatchedTree *tree;
	List *members;

	hash_seq_init(&scan, watch->trees);
	while ((tree = hash_seq_search(&scan)) != NULL)
		if (derive_spool_get_members(spool, tree->relid, &members))
			tree->known = watch->complete = false;
}
