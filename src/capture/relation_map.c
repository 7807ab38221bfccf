/*-------------------------------------------------------------------------
 *
 * relation_map.c
 *	  Which sources the rows of a physical relation feed.
 *
 * Lives in the decoder.  A row of a partition is a row of every partitioned table
 * above it, and one of an inheritance child a row of its parents; columns are matched
 * by name, since tables below may number theirs differently.  Entries are made when a
 * relation's first change is decoded, under the historic snapshot, so they say what was
 * true when the change was made, and made again after an invalidation.  A relation
 * without interest has an entry, too, so that its rows cost one hash lookup.
 *
 * Layouts outlive entries and interests: the applier keeps each one for as long as
 * the decoder lives.  A layout is used again whenever columns, types and names are
 * the same.
 *
 * Invalidation callbacks only mark: they run at places where no catalog may be read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/relation_map.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Past this many entries all are thrown away, so that dropped relations do not pile up. */
#define MAX_ENTRIES 20000

/* Past this many, every relation counts as invalidated in this transaction. */
#define MAX_INVALIDATED 256

struct RelationMap
{
	MemoryContext parent;
	MemoryContext layouts_context;
	List *layouts; /* of MapLayout */
	uint32 next_layout;

	MemoryContext context; /* of what follows; reset with each new interest */
	uint32 interest_version;
	HTAB *sources; /* of MapSource */
	HTAB *entries; /* of MapEntry */

	List *announced; /* oids, in parent */
	uint64 transaction;
	int ninvalidated; /* MAX_INVALIDATED + 1: too many */
	Oid invalidated[MAX_INVALIDATED];
};

/* The map that invalidations are for; a decoder has one. */
static RelationMap *current_map = NULL;

/* Returns the entry of a relation if it has one, valid or not. */
static MapEntry *
find_entry(RelationMap *map, Oid relid)
{
	return hash_search(map->entries, &relid, HASH_FIND, NULL);
}

/* Marks every entry. */
static void
invalidate_all(RelationMap *map)
{
	HASH_SEQ_STATUS scan;
	MapEntry *entry;

	hash_seq_init(&scan, map->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->valid = false;
}

/* Remembers that a relation was invalidated in this transaction. */
static void
note_invalidated(RelationMap *map, Oid relid)
{
	if (!OidIsValid(relid))
		map->ninvalidated = MAX_INVALIDATED + 1;
	else if (map->ninvalidated < MAX_INVALIDATED)
		map->invalidated[map->ninvalidated++] = relid;
	else
		map->ninvalidated = MAX_INVALIDATED + 1;
}

/* Relcache callback: marks what depends on a relation (InvalidOid: on any). */
static void
relation_invalidated(Datum arg, Oid relid)
{
	RelationMap *map = current_map;
	MapEntry *entry;

	if (map == NULL || map->entries == NULL)
		return;
	note_invalidated(map, relid);
	if (!OidIsValid(relid))
	{
		invalidate_all(map);
		return;
	}
	entry = find_entry(map, relid);
	if (entry == NULL)
		return;
	entry->valid = false;
	if (entry->is_ancestor)
		invalidate_all(map);
}

/* Makes the map of this process, without any interest. */
RelationMap *
derive_map_create(MemoryContext parent)
{
	RelationMap *map = MemoryContextAllocZero(parent, sizeof(RelationMap));

	map->parent = parent;
	map->layouts_context = AllocSetContextCreate(parent, "pg_derive row layouts",
												 ALLOCSET_SMALL_SIZES);
	map->next_layout = 1;
	derive_map_set_interest(map, NIL, 0);
	current_map = map;
	CacheRegisterRelcacheCallback(relation_invalidated, (Datum) 0);
	return map;
}

/* Makes an empty hash table of structs that start with an oid. */
static HTAB *
make_table(RelationMap *map, const char *name, Size entry_size)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = entry_size;
	ctl.hcxt = map->context;
	return hash_create(name, 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Makes a new source one that nothing is wanted of. */
static void
clear_source(MapSource *source)
{
	Oid relid = source->source;

	memset(source, 0, sizeof(MapSource));
	source->source = relid;
}

/* Makes every change of a relation one of interest. */
static void
want_every(RelationMap *map, Oid relid)
{
	bool found;
	MapSource *source = hash_search(map->sources, &relid, HASH_ENTER, &found);

	if (!found)
		clear_source(source);
	source->rows = true;
	source->every = source->moves = true;
}

/* Replaces the interest, and so all entries; called between records of the log. */
void
derive_map_set_interest(RelationMap *map, List *interest, uint32 version)
{
	MemoryContext old;
	ListCell *lc;

	if (map->context)
		MemoryContextDelete(map->context);
	map->entries = NULL;
	map->context = AllocSetContextCreate(map->parent, "pg_derive relation map",
										 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(map->context);
	map->interest_version = version;
	map->sources = make_table(map, "pg_derive sources", sizeof(MapSource));
	map->entries = make_table(map, "pg_derive relations", sizeof(MapEntry));
	foreach (lc, interest)
	{
		InterestItem *item = lfirst(lc);
		MapSource *source = hash_search(map->sources, &item->source, HASH_ENTER, NULL);

		clear_source(source);
		source->rows = item->rows || item->every;
		source->columns = bms_copy(item->columns);
		source->every = item->every;
		source->moves = item->moves || item->every;
		source->keys = bms_copy(item->keys);
		if (item->every)
			map->announced = list_delete_oid(map->announced, item->source);
	}
	foreach (lc, map->announced)
		want_every(map, lfirst_oid(lc));
	MemoryContextSwitchTo(old);
}

/* Throws all entries away; what depends on them is made again when needed. */
static void
forget_entries(RelationMap *map)
{
	HASH_SEQ_STATUS scan;
	MapEntry *entry;

	hash_seq_init(&scan, map->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->context)
			MemoryContextDelete(entry->context);
	hash_destroy(map->entries);
	map->entries = make_table(map, "pg_derive relations", sizeof(MapEntry));
}

void
derive_map_announce(RelationMap *map, Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(map->parent);

	map->announced = list_append_unique_oid(map->announced, relid);
	MemoryContextSwitchTo(old);
	want_every(map, relid);
	invalidate_all(map); /* they keep what this transaction has changed */
}

/* Returns the version of the interest in force. */
uint32
derive_map_interest_version(RelationMap *map)
{
	return map->interest_version;
}

uint64
derive_map_begin(RelationMap *map)
{
	if (hash_get_num_entries(map->entries) >= MAX_ENTRIES)
		forget_entries(map);
	map->ninvalidated = 0;
	return ++map->transaction;
}

uint64
derive_map_transaction(RelationMap *map)
{
	return map->transaction;
}

List *
derive_map_sources(RelationMap *map)
{
	List *list = NIL;
	HASH_SEQ_STATUS scan;
	MapSource *source;

	hash_seq_init(&scan, map->sources);
	while ((source = hash_seq_search(&scan)) != NULL)
		list = lappend(list, source);
	return list;
}

/* Returns a source of interest, or NULL. */
MapSource *
derive_map_find_source(RelationMap *map, Oid relid)
{
	return hash_search(map->sources, &relid, HASH_FIND, NULL);
}

bool
derive_map_any_invalidated(RelationMap *map)
{
	return map->ninvalidated > 0;
}

bool
derive_map_was_invalidated(RelationMap *map, Oid relid)
{
	if (map->ninvalidated > MAX_INVALIDATED)
		return true;
	for (int i = 0; i < map->ninvalidated; i++)
		if (map->invalidated[i] == relid)
			return true;
	return false;
}

/* Returns true if the feeds of an entry lead to a source. */
static bool
feeds_source(const MapEntry *entry, const MapSource *source)
{
	for (int i = 0; i < entry->nfeeds; i++)
		if (entry->feeds[i].source == source)
			return true;
	return false;
}

bool
derive_map_had_unfed_rows(RelationMap *map, Oid relid, const MapSource *source)
{
	MapEntry *entry = find_entry(map, relid);

	if (entry == NULL || entry->changed_in != map->transaction)
		return false;
	return entry->unfed_in == map->transaction || !feeds_source(entry, source);
}

bool
derive_map_had_stray_rows(RelationMap *map, const MapSource *source, List *members)
{
	HASH_SEQ_STATUS scan;
	MapEntry *entry;
	bool found = source->stray_in == map->transaction;

	hash_seq_init(&scan, map->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		found |= entry->changed_in == map->transaction && feeds_source(entry, source) &&
				 entry->relid != source->source &&
				 !list_member_oid(members, entry->relid);
	return found;
}

bool
derive_map_is_emptied(const MapSource *source, List *truncated)
{
	List *rest = list_make1_oid(source->source);
	ListCell *lc;

	foreach (lc, rest)
	{
		if (!list_member_oid(truncated, lfirst_oid(lc)))
			return false;
		rest = list_concat(rest, find_inheritance_children(lfirst_oid(lc), NoLock));
	}
	return true;
}

List *
derive_map_changed(RelationMap *map)
{
	List *list = NIL;
	HASH_SEQ_STATUS scan;
	MapEntry *entry;

	hash_seq_init(&scan, map->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->changed_in == map->transaction)
			list = lappend(list, entry);
	return list;
}

/* Returns the entry of a relation, a new invalid one if need be. */
static MapEntry *
enter(RelationMap *map, Oid relid)
{
	bool found;
	MapEntry *entry = hash_search(map->entries, &relid, HASH_ENTER, &found);

	if (!found)
	{
		memset(entry, 0, sizeof(MapEntry));
		entry->relid = relid;
	}
	return entry;
}

/* Returns a layout that the applier knows or will know, like the given one. */
static MapLayout *
share_layout(RelationMap *map, const MapFeed *feed, bool inherited, int ncolumns,
			 AttrNumber *attnums, TupleDesc desc)
{
	Oid source = feed->source->source;
	ListCell *lc;
	MemoryContext old;
	MapLayout *shared;

	foreach (lc, map->layouts)
	{
		shared = lfirst(lc);
		if (shared->layout.source == source && shared->layout.inherited == inherited &&
			shared->layout.keys_only == feed->keys_only &&
			shared->layout.ncolumns == ncolumns &&
			memcmp(shared->layout.attnums, attnums, sizeof(AttrNumber) * ncolumns) == 0 &&
			equalTupleDescs(shared->layout.desc, desc))
			return shared;
	}

	old = MemoryContextSwitchTo(map->layouts_context);
	shared = palloc0(sizeof(MapLayout));
	shared->layout.id = map->next_layout++;
	shared->layout.source = source;
	shared->layout.inherited = inherited;
	shared->layout.keys_only = feed->keys_only;
	shared->layout.ncolumns = ncolumns;
	shared->layout.attnums = palloc(sizeof(AttrNumber) * Max(ncolumns, 1));
	memcpy(shared->layout.attnums, attnums, sizeof(AttrNumber) * ncolumns);
	shared->layout.desc = CreateTupleDescCopy(desc);
	map->layouts = lappend(map->layouts, shared);
	MemoryContextSwitchTo(old);
	return shared;
}

/* Returns the relation's attribute of the same name and type, or 0. */
static AttrNumber
match_attribute(TupleDesc desc, Form_pg_attribute wanted)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->atttypid == wanted->atttypid &&
			strcmp(NameStr(att->attname), NameStr(wanted->attname)) == 0)
			return att->attnum;
	}
	return InvalidAttrNumber;
}

/* Returns the columns that a feed's rows have, as far as they are known to be wanted. */
static Bitmapset *
wanted_columns(const MapFeed *feed, TupleDesc desc)
{
	Bitmapset *columns = bms_copy(feed->keys_only ? feed->source->keys
												  : feed->source->columns);

	if (feed->source->every && !feed->keys_only)
		for (int i = 0; i < desc->natts; i++)
			if (!TupleDescAttr(desc, i)->attisdropped)
				columns = bms_add_member(columns, i + 1);
	return columns;
}

/* Fills a feed's columns out of the source's descriptor; false: they do not fit. */
static bool
match_columns(RelationMap *map, MapFeed *feed, Relation rel, Relation source)
{
	TupleDesc desc = RelationGetDescr(source);
	int ncolumns = 0;
	int column = -1;
	Bitmapset *columns = wanted_columns(feed, desc);
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * Max(bms_num_members(columns), 1));

	feed->attnums = palloc(sizeof(AttrNumber) * Max(bms_num_members(columns), 1));
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		if (column < 1 || column > desc->natts ||
			TupleDescAttr(desc, column - 1)->attisdropped)
			return false;
		attnums[ncolumns] = column;
		feed->attnums[ncolumns] = rel == source
									  ? column
									  : match_attribute(RelationGetDescr(rel),
														TupleDescAttr(desc, column - 1));
		if (feed->attnums[ncolumns] == InvalidAttrNumber)
			return false;
		ncolumns++;
	}
	feed->layout = share_layout(map, feed, rel != source, ncolumns, attnums,
								derive_layout_make_desc(desc, ncolumns, attnums));
	return true;
}

/* Returns true if all columns of a feed are in the relation's replica identity. */
static bool
is_covered(const MapFeed *feed, Bitmapset *identity)
{
	for (int i = 0; i < feed->layout->layout.ncolumns; i++)
		if (!bms_is_member(feed->attnums[i] - FirstLowInvalidHeapAttributeNumber,
						   identity))
			return false;
	return true;
}

/* Adds a feed from rel to one source; allocates in CurrentMemoryContext. */
static void
add_feed(RelationMap *map, MapEntry *entry, Relation rel, MapSource *source,
		 bool keys_only, Bitmapset *identity)
{
	MapFeed *feed = &entry->feeds[entry->nfeeds++];
	bool own = RelationGetRelid(rel) == source->source;
	Relation source_rel;

	/* first, since what reads catalogs may throw, and the entry stays */
	memset(feed, 0, sizeof(MapFeed));
	feed->source = source;
	feed->keys_only = keys_only;
	source_rel = own ? rel : RelationIdGetRelation(source->source);
	if (!RelationIsValid(source_rel))
		feed->broken = "it is gone";
	else if (!match_columns(map, feed, rel, source_rel))
		feed->broken = "a column that a view reads is gone";
	else
		feed->covered = is_covered(feed, identity);
	if (!own && RelationIsValid(source_rel))
		RelationClose(source_rel);
}

/* Makes what is needed to take the relation's tuples apart. */
static void
prepare_deforming(MapEntry *entry, Relation rel)
{
	entry->natts = 0;
	for (int i = 0; i < entry->nfeeds; i++)
	{
		MapFeed *feed = &entry->feeds[i];

		for (int j = 0; feed->layout && j < feed->layout->layout.ncolumns; j++)
			entry->natts = Max(entry->natts, feed->attnums[j]);
	}

	/* with what rows older than an ADD COLUMN … DEFAULT have for that column */
	entry->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	entry->old_slot = MakeSingleTupleTableSlot(entry->desc, &TTSOpsHeapTuple);
	entry->new_slot = MakeSingleTupleTableSlot(entry->desc, &TTSOpsHeapTuple);
}

/* Adds the tables that a table inherits from, at any distance, to a list, each once. */
static List *
add_parents(Relation inherits, Oid relid, List *relids)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	List *parents = NIL;
	ListCell *lc;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	foreach (lc, parents)
		if (!list_member_oid(relids, lfirst_oid(lc)))
			relids = add_parents(inherits, lfirst_oid(lc),
								 lappend_oid(relids, lfirst_oid(lc)));
	return relids;
}

/* Returns the relation and those above it that are of interest (MapSource). */
static List *
find_fed(RelationMap *map, Relation rel)
{
	List *fed = NIL;
	List *relids = list_make1_oid(RelationGetRelid(rel));
	ListCell *lc;

	if (rel->rd_rel->relispartition)
		relids = list_concat(relids, get_partition_ancestors(RelationGetRelid(rel)));
	else
	{
		Relation inherits = table_open(InheritsRelationId, AccessShareLock);

		relids = add_parents(inherits, RelationGetRelid(rel), relids);
		table_close(inherits, AccessShareLock);
	}
	foreach (lc, relids)
	{
		Oid relid = lfirst_oid(lc);
		MapSource *source = derive_map_find_source(map, relid);

		if (source)
			fed = lappend(fed, source);
		if (relid != RelationGetRelid(rel))
			enter(map, relid)->is_ancestor = true;
	}
	return fed;
}

/* Fills an entry under the historic snapshot. */
static void
fill(RelationMap *map, MapEntry *entry, Relation rel)
{
	List *fed = find_fed(map, rel);
	Bitmapset *identity = RelationGetIdentityKeyBitmap(rel);
	MemoryContext old;
	ListCell *lc;

	/* rows that were changed a moment ago went nowhere else than to the old feeds */
	foreach (lc, fed)
		if (entry->changed_in == map->transaction && !feeds_source(entry, lfirst(lc)))
			entry->unfed_in = map->transaction;
	for (int i = 0; i < entry->nfeeds; i++)
		if (entry->changed_in == map->transaction &&
			!list_member_ptr(fed, entry->feeds[i].source))
			entry->feeds[i].source->stray_in = map->transaction;
	if (entry->context)
		MemoryContextDelete(entry->context);
	entry->context = NULL;
	entry->nfeeds = 0;
	entry->rewrites = rel->rd_rel->relrewrite;
	entry->identity_full = rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL;
	if (fed == NIL)
		return;

	entry->context = AllocSetContextCreate(map->context, "pg_derive relation",
										   ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(entry->context);
	entry->feeds = palloc(sizeof(MapFeed) * list_length(fed) * 2);
	foreach (lc, fed)
	{
		MapSource *source = lfirst(lc);

		if (source->rows)
			add_feed(map, entry, rel, source, false, identity);
		if (source->keys != NULL)
			add_feed(map, entry, rel, source, true, identity);
	}
	prepare_deforming(entry, rel);
	MemoryContextSwitchTo(old);
}

MapEntry *
derive_map_lookup(RelationMap *map, Relation rel)
{
	MapEntry *entry = enter(map, RelationGetRelid(rel));

	if (entry->valid)
		return entry;
	/* first, so that an invalidation while catalogs are read is not lost */
	entry->valid = true;
	PG_TRY();
	{
		fill(map, entry, rel);
	}
	PG_CATCH();
	{
		/* a transaction in progress was found to have aborted; decoding goes on */
		entry->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	return entry;
}
