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
extern List *derive_algebra_collect(List *ctes, struct Region *region, List *sources,
									Bitmapset *changed, bool pretty, char **terms);
extern char *derive_algebra_with(List *ctes);

#endif /* DERIVE_PLAN_ALGEBRA_H */
