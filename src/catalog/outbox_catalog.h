/*-------------------------------------------------------------------------
 *
 * outbox_catalog.h
 *	  The rows of derive_state.outbox as structs, see outbox_catalog.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CATALOG_OUTBOX_CATALOG_H
#define DERIVE_CATALOG_OUTBOX_CATALOG_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* The trigger on every outbox that keeps all but the pipeline from writing. */
#define DERIVE_APPEND_ONLY_TRIGGER "pg_derive_append_only"

typedef struct CatalogOutbox
{
	Oid outbox;
	int64 id;
	Oid source;	  /* InvalidOid: only what is emitted */
	bool of_view; /* source is a derived view */
	char *topic;
	char *key; /* expressions as the user wrote them; NULL: none, or the source's key */
	char *payload;
	char *filter;
	char *path;	  /* search_path in which they are read */
	int64 retain; /* microseconds */
	uint64 created_xid;

	/* progress, which the applier writes */
	int64 position; /* of the last event */
	int64 first;	/* of the oldest event that is kept */
	XLogRecPtr
		published; /* has what starts before this; invalid: as far as the pipeline */
	bool ours;	   /* all this was written by this database's pipeline */
	bool gap;	   /* changes were lost, which the next event has to say */
	int failures;  /* in a row */
	TimestampTz retry_at; /* failed: not before; 0: not failed */
	char *reason;		  /* failed: why, or NULL */
} CatalogOutbox;

/*
 * Returns all rows in CurrentMemoryContext; for the applier, connected to SPI.  An outbox
 * without its trigger is not there yet: a dump is being restored, and what it still
 * writes to the source is no event.
 */
extern List *derive_catalog_read_outboxes(void);

/* Names this database's pipeline, palloc'd. */
extern char *derive_catalog_home(void);

/* Returns a relation's row, or NULL; for SQL functions. */
extern CatalogOutbox *derive_catalog_find_outbox(Oid outbox);

/* Says whether a relation is the source of an outbox; for SQL functions. */
extern bool derive_catalog_is_published(Oid source);

/* Returns the only outbox of this database without a source, or NULL. */
extern CatalogOutbox *derive_catalog_default_outbox(void);
extern int64 derive_catalog_next_outbox_id(void);

/*
 * Inserts a new outbox, with progress from position 0; retain: a Datum of type interval,
 * published: where it was announced.
 */
extern void derive_catalog_insert_outbox(const CatalogOutbox *row, Datum retain);
extern void derive_catalog_delete_outbox(Oid outbox);

/* Writes an outbox's progress; for the applier, connected to SPI. */
extern void derive_catalog_write_outbox(const CatalogOutbox *row);

/* Deletes the progress of outboxes that are gone; for the applier, connected to SPI. */
extern void derive_catalog_delete_positions(void);

/* The key that makes messages in the log ours, palloc'd; read as the bootstrap superuser. */
#define DERIVE_SECRET_LEN 32
extern uint8 *derive_catalog_secret(void);

#endif /* DERIVE_CATALOG_OUTBOX_CATALOG_H */
