/*-------------------------------------------------------------------------
 *
 * relation_map.h
 *	  Which sources the rows of a physical relation feed, see relation_map.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_RELATION_MAP_H
#define DERIVE_CAPTURE_RELATION_MAP_H

#include "change/layout.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

/* A source of interest. */
typedef struct MapSource
{
	Oid source;			/* hash key */
	bool rows;			/* rows are wanted */
	Bitmapset *columns; /* of these */
	bool every;		 /* all columns, whatever they are, and updates that change nothing */
	bool moves;		 /* updates that change nothing */
	Bitmapset *keys; /* columns of the key, if keys are wanted; else NULL */
	uint64 lost_in;	 /* number of the transaction in which a LOST was sent */
	uint64 keys_lost_in; /* likewise, for who takes keys */
	uint64 stray_in; /* the last one that fed it rows of what then did not belong to it */
} MapSource;

/* A layout that the applier has got or will get before its first row. */
typedef struct MapLayout
{
	RowLayout layout;
	bool sent;
} MapLayout;

/*
 * One source that a relation's rows feed, the relation itself or an ancestor: with rows,
 * or with their keys.  A source may have a feed of each kind.
 */
typedef struct MapFeed
{
	MapSource *source;
	bool keys_only;
	MapLayout *layout;	 /* NULL: rows cannot be formed, see broken */
	const char *broken;	 /* why every change is LOST, or NULL */
	AttrNumber *attnums; /* [ncolumns], of the relation */
	bool covered;		 /* all of these are columns of the replica identity */
} MapFeed;

typedef struct MapEntry
{
	Oid relid; /* hash key */
	bool valid;
	bool is_ancestor; /* what feeds what depends on this relation */
	Oid rewrites;	  /* a table rewrite's new heap: the table; its rows are no changes */
	bool identity_full;
	uint64 changed_in; /* number of the last transaction that changed its rows */
	uint64 unfed_in;   /* the last one that did so before it fed all that it feeds now */
	MemoryContext context; /* of the rest; NULL if nfeeds is 0 */
	TupleDesc desc;
	int natts;				  /* up to the last attribute of interest */
	TupleTableSlot *old_slot; /* for deforming */
	TupleTableSlot *new_slot;
	int nfeeds;
	MapFeed *feeds;
} MapEntry;

typedef struct RelationMap RelationMap;

extern RelationMap *derive_map_create(MemoryContext parent);
extern void derive_map_set_interest(RelationMap *map, List *interest, uint32 version);
extern uint32 derive_map_interest_version(RelationMap *map);

/*
 * From here on every change of a relation is of interest, whatever interest is set: the
 * log itself says so.  Called within a transaction of the log, between its changes.
 */
extern void derive_map_announce(RelationMap *map, Oid relid);

/* Begins a transaction; the number is never 0 and not used again. */
extern uint64 derive_map_begin(RelationMap *map);
extern uint64 derive_map_transaction(RelationMap *map);

/* Returns the entry of a relation, valid until the next call, under the historic snapshot. */
extern MapEntry *derive_map_lookup(RelationMap *map, Relation rel);

/* Returns the entries (MapEntry) of relations whose rows this transaction changed. */
extern List *derive_map_changed(RelationMap *map);

/*
 * Returns true if a TRUNCATE of relations (oids) has left no row of a source, under the
 * historic snapshot: it and all below it are among them.
 */
extern bool derive_map_is_emptied(const MapSource *source, List *truncated);

/* For partition_watch.c: no catalog access. */

/* Returns true if this transaction changed rows of relid that were not fed to source. */
extern bool
derive_map_had_unfed_rows(RelationMap *map, Oid relid, const MapSource *source);

/*
 * Returns true if this transaction fed rows to source of a relation that is neither the
 * source nor one of its members (oids) any more.
 */
extern bool
derive_map_had_stray_rows(RelationMap *map, const MapSource *source, List *members);
extern List *derive_map_sources(RelationMap *map);
extern MapSource *derive_map_find_source(RelationMap *map, Oid relid);
extern bool derive_map_any_invalidated(RelationMap *map);
extern bool derive_map_was_invalidated(RelationMap *map, Oid relid);

#endif /* DERIVE_CAPTURE_RELATION_MAP_H */
