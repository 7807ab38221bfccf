/*-------------------------------------------------------------------------
 *
 * outbox_functions.h
 *	  What the SQL functions about outboxes share, see outbox_functions.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_API_OUTBOX_FUNCTIONS_H
#define DERIVE_API_OUTBOX_FUNCTIONS_H

#include "catalog/outbox_catalog.h"

/*
 * Creates an outbox of the caller's, as derive.create_outbox does: row has source and
 * expressions, the rest is filled in.  name NULL: a table in derive_state.
 */
extern void derive_api_create_outbox(CatalogOutbox *row, const char *name, Datum retain);

/* Returns the row of an outbox; throws if the relation is none. */
extern CatalogOutbox *derive_api_find_outbox(Oid outbox);

#endif /* DERIVE_API_OUTBOX_FUNCTIONS_H */
