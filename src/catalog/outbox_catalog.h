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
#include "nodes/pg_list.h"

typedef struct CatalogOutbox
{
	Oid outbox;
	int64 id;
	Oid source;	  /* InvalidOid: only what is emitted */
	bool of_view; /* source is a derived view */
	char *topic;
	char *key; /* expressions as the user wrote them; NULL: none */
	char *payload;
	char *filter;
	char *path; /* search_path in which they are read */
	XLogRecPtr created_lsn;
	uint64 created_xid;
} CatalogOutbox;

/* Returns all rows in CurrentMemoryContext; for the applier, connected to SPI. */
extern List *derive_catalog_read_outboxes(void);

/* Returns a relation's row, or NULL; for SQL functions. */
extern CatalogOutbox *derive_catalog_find_outbox(Oid outbox);

/* Returns the only outbox of this database without a source, or NULL. */
extern CatalogOutbox *derive_catalog_default_outbox(void);
extern int64 derive_catalog_next_outbox_id(void);

/* retain: a Datum of type interval. */
extern void derive_catalog_insert_outbox(const CatalogOutbox *row, Datum retain);
extern void derive_catalog_delete_outbox(Oid outbox);

/* Returns the key that makes emissions ours, palloc'd bytea, as the bootstrap superuser. */
extern struct varlena *derive_catalog_secret(void);

#endif /* DERIVE_CATALOG_OUTBOX_CATALOG_H */
