/*-------------------------------------------------------------------------
 *
 * hidden_parts.h
 *	  What ties hidden relations to what they belong to, see hidden_parts.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CATALOG_HIDDEN_PARTS_H
#define DERIVE_CATALOG_HIDDEN_PARTS_H

#include "catalog/view_catalog.h"

#define DERIVE_READ_ONLY_TRIGGER "pg_derive_read_only"

/* Says whether all of a view is there: a dump that is being restored brings the last parts late. */
extern bool derive_hidden_parts_complete(const CatalogView *view);

/* Says whether what belongs to a view depends on its table: not if a dump has just brought it. */
extern bool derive_hidden_parts_tied(const CatalogView *view);

/*
 * Makes what belongs to a view depend on its table, as far as it does not.  Returns true if
 * it did not: the view comes from a dump.
 */
extern bool derive_hidden_parts_tie(const CatalogView *view);

/* Makes an outbox depend on its source or on a handler, as far as it does not. */
extern void derive_hidden_parts_tie_outbox(Oid outbox, Oid class_id, Oid object_id);

#endif /* DERIVE_CATALOG_HIDDEN_PARTS_H */
