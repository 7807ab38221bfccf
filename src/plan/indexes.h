/*-------------------------------------------------------------------------
 *
 * indexes.h
 *	  What indexes say about a region: keys of its rows, lookups, see indexes.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_INDEXES_H
#define DERIVE_PLAN_INDEXES_H

#include "plan/region.h"

extern List *derive_region_view_key(Region *region);

#endif /* DERIVE_PLAN_INDEXES_H */
