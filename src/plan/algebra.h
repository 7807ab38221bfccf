/*-------------------------------------------------------------------------
 *
 * algebra.h
 *	  The delta of a linear region as SQL, see algebra.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_ALGEBRA_H
#define DERIVE_PLAN_ALGEBRA_H

#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"

struct Region;

extern void derive_algebra_delta(struct Region *region, List *sources, Bitmapset *changed,
								 bool pretty, char **with, char **terms);

#endif /* DERIVE_PLAN_ALGEBRA_H */
