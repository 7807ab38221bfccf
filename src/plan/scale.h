/*-------------------------------------------------------------------------
 *
 * scale.h
 *	  Whether equal values of an expression may look different, see scale.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_SCALE_H
#define DERIVE_PLAN_SCALE_H

#include "nodes/nodes.h"
#include "utils/typcache.h"

#define DERIVE_SCALE_UNKNOWN (-1)

extern int derive_scale_of(Node *node);
extern int derive_scale_most(Node *node);
extern bool derive_image_may_vary(Node *expression, TypeCacheEntry *type, Oid collation);

#endif /* DERIVE_PLAN_SCALE_H */
