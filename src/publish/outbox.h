/*-------------------------------------------------------------------------
 *
 * outbox.h
 *	  From transactions and views' deltas to rows of outboxes, see outbox.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_OUTBOX_H
#define DERIVE_PUBLISH_OUTBOX_H

#include "catalog/outbox_catalog.h"
#include "maintain/publisher.h"

/* Makes the applier's publisher, which lives as long as the process. */
extern Publisher *derive_outbox_publisher(void);

/*
 * For create_outbox: checks an outbox's expressions by planning them as the current user
 * under its search_path; throws if they are wrong.
 */
extern void derive_outbox_check(const CatalogOutbox *row);

/* Returns a relation's name with its schema, quoted, palloc'd. */
extern char *derive_outbox_name(Oid relid);

/* True while this process writes an outbox: its trigger lets nobody else in. */
extern bool derive_outbox_is_writing(Oid relid);

#endif /* DERIVE_PUBLISH_OUTBOX_H */
