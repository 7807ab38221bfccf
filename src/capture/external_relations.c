/*-------------------------------------------------------------------------
 *
 * external_relations.c
 *	  What is known of relations for consumers outside: a cache by relation.
 *
 * Entries are made under the historic snapshot when a relation's first change is decoded.
 * Callbacks only mark them: they run where no catalog may be read, possibly while the
 * entry is in use.  Renaming a type or a schema tells no relation, so it marks all.
 * Detaching and attaching partitions tells the partition.
 *
 * Callbacks stay registered for the life of the process, of which a session can have
 * several decoding contexts, one after the other: they look at the one of now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/external_relations.h"

#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* Past this many entries all are thrown away, so that dropped relations do not pile up. */
#define MAX_ENTRIES 20000

struct ExternalRelations
{
	TextStream *stream;
	MemoryContext context;
	HTAB *entries;		/* of TextRelation */
	TextRelation *last; /* the one that was asked for last, or NULL */
};

static ExternalRelations *current = NULL;

/* Marks every entry. */
static void
invalidate_all(void)
{
	HASH_SEQ_STATUS scan;
	TextRelation *entry;

	if (current == NULL)
		return;
	hash_seq_init(&scan, current->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->valid = false;
}

/* Relcache callback: marks a relation, or all (InvalidOid). */
static void
relation_invalidated(Datum arg, Oid relid)
{
	TextRelation *entry;

	if (current == NULL)
		return;
	if (!OidIsValid(relid))
	{
		invalidate_all();
		return;
	}
	entry = hash_search(current->entries, &relid, HASH_FIND, NULL);
	if (entry)
		entry->valid = false;
}

/* Syscache callback of types and schemas: their names are everywhere. */
static void
name_invalidated(Datum arg, int cache, uint32 hash)
{
	invalidate_all();
}

/* The set's context is about to go. */
static void
forget_current(void *arg)
{
	if (current == arg)
		current = NULL;
}

/* Makes the hash table of a set. */
static void
make_entries(ExternalRelations *relations)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(TextRelation);
	ctl.hcxt = relations->context;
	relations->entries = hash_create("pg_derive external relations", 256, &ctl,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

ExternalRelations *
derive_external_relations_create(TextStream *stream, MemoryContext context)
{
	static bool registered = false;
	ExternalRelations *relations = MemoryContextAllocZero(context,
														  sizeof(ExternalRelations));
	MemoryContextCallback *callback = MemoryContextAllocZero(
		context, sizeof(MemoryContextCallback));

	relations->stream = stream;
	relations->context = AllocSetContextCreate(context, "pg_derive external relations",
											   ALLOCSET_DEFAULT_SIZES);
	make_entries(relations);
	callback->func = forget_current;
	callback->arg = relations;
	MemoryContextRegisterResetCallback(context, callback);
	current = relations;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(relation_invalidated, (Datum) 0);
		CacheRegisterSyscacheCallback(TYPEOID, name_invalidated, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, name_invalidated, (Datum) 0);
		registered = true;
	}
	return relations;
}

void
derive_external_relations_trim(ExternalRelations *relations)
{
	if (hash_get_num_entries(relations->entries) < MAX_ENTRIES)
		return;
	relations->last = NULL;
	MemoryContextReset(relations->context);
	make_entries(relations);
}

/* Makes an entry valid, under the historic snapshot. */
static void
fill(ExternalRelations *relations, TextRelation *entry, Relation rel)
{
	/* first, so that an invalidation while catalogs are read is not lost */
	entry->valid = true;
	PG_TRY();
	{
		derive_text_relation_fill(relations->stream, entry, rel, relations->context);
	}
	PG_CATCH();
	{
		/* a transaction in progress was found to have aborted; decoding goes on */
		entry->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

TextRelation *
derive_external_relations_find(ExternalRelations *relations, Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	TextRelation *entry = relations->last;
	bool found;

	if (entry && entry->relid == relid && entry->valid)
		return entry;
	entry = hash_search(relations->entries, &relid, HASH_ENTER, &found);
	relations->last = entry;
	if (!found)
	{
		memset(entry, 0, sizeof(TextRelation));
		entry->relid = relid;
	}
	if (!entry->valid)
		fill(relations, entry, rel);
	return entry;
}
