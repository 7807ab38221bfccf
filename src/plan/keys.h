/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  Stages of independent parts: windows and DISTINCT ON, see keys.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_KEYS_H
#define DERIVE_PLAN_KEYS_H

#include "plan/plan.h"

struct Region;

extern Stage *
derive_keys_make(Query *query, struct Region *region, List **view_key, char **why);
extern char *derive_keys_delta_sql(Stage *stage, const char *with, const char *terms);
extern char *derive_keys_new_sql(Stage *stage, Bitmapset *nulls, bool pretty);
extern char *derive_keys_stored_sql(ViewPlan *plan, Bitmapset *nulls);

#endif /* DERIVE_PLAN_KEYS_H */
