/*-------------------------------------------------------------------------
 *
 * gap.h
 *	  Whether the log leads on from the stored frontier, see gap.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_GAP_H
#define DERIVE_MAINTAIN_GAP_H

#include "catalog/view_catalog.h"

#define DERIVE_GAP_NO_SLOT "the replication slot was missing"

/*
 * Returns why changes may lie between the stored frontier and what the slot will deliver,
 * in CurrentMemoryContext, or NULL if none do.  shed: the slot was given up because it
 * retained too much.
 */
extern const char *derive_gap_find(const CatalogFrontier *stored, bool shed);

#endif /* DERIVE_MAINTAIN_GAP_H */
