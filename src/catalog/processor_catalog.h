/*-------------------------------------------------------------------------
 *
 * processor_catalog.h
 *	  The rows of derive_state.processor as structs, see processor_catalog.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CATALOG_PROCESSOR_CATALOG_H
#define DERIVE_CATALOG_PROCESSOR_CATALOG_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* The payload of a processor's events, an expression; it is ours, not the user's. */
#define DERIVE_WHOLE_ROWS                                                      \
	"pg_catalog.jsonb_build_object('old', derive_state.row_texts(old), 'new'," \
	" derive_state.row_texts(new))"

typedef struct CatalogProcessor
{
	int64 id;	 /* of its outbox */
	char *name;	 /* and of the consumer of that */
	Oid outbox;	 /* table */
	Oid source;	 /* table or derived view */
	Oid handler; /* function; InvalidOid: there is none of that name */
	Oid owner;	 /* of the outbox */
	char *path;	 /* search_path under which the handler runs */
	bool paused;
	bool failed; /* derive_state.processor_failure has a row */
} CatalogProcessor;

/*
 * Return processors in CurrentMemoryContext, as the bootstrap superuser; find: or NULL.
 * read: those that are not paused, and are not being restored from a dump, whose last part is
 * the outbox's trigger.
 */
extern List *derive_catalog_read_processors(void);
extern CatalogProcessor *derive_catalog_find_processor(const char *name);

/* Returns the handler of an outbox's processor, or InvalidOid, as the bootstrap superuser. */
extern Oid derive_catalog_find_handler(int64 outbox);

/* Inserts the processor of an outbox; throws if there is one of that name. */
extern void derive_catalog_insert_processor(int64 id, const char *name, Oid handler);

/*
 * Notes the names that handlers have now, after some of what their names are made of was
 * renamed or moved to another schema.
 */
extern void derive_catalog_name_handlers(void);
extern void derive_catalog_pause_processor(int64 id, bool paused);

/* Notes that a processor rests for so many ms after an error that was not its handler's. */
extern void derive_catalog_processor_failed(const CatalogProcessor *processor,
											int failures, int64 ms, const char *reason);
extern void derive_catalog_processor_mended(const CatalogProcessor *processor);

/*
 * Makes a processor's consumer free for this process: whoever held it before has no lease
 * any more.
 */
extern void derive_catalog_seize_consumer(const CatalogProcessor *processor);

/* Returns positions that failed or wait behind one that did, as a palloc'd array. */
extern int64 *derive_catalog_waiting_events(const CatalogProcessor *processor, int *n);

/* Returns when the next event that failed is to be tried again, or 0. */
extern TimestampTz derive_catalog_next_retry(const CatalogProcessor *processor);

/*
 * Returns the position of the oldest event of an outbox that its processor still needs;
 * PG_INT64_MAX if it is not a processor's.
 */
extern int64 derive_catalog_oldest_needed(int64 outbox);

#endif /* DERIVE_CATALOG_PROCESSOR_CATALOG_H */
