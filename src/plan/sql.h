/*-------------------------------------------------------------------------
 *
 * sql.h
 *	  A plan's SQL, laid out for execution or for readers, see sql.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_SQL_H
#define DERIVE_PLAN_SQL_H

#include "plan/plan.h"

struct Region;

extern char *derive_sql_delta(ViewPlan *plan, Bitmapset *changed, bool pretty);
/* True if a region reads one of the sources in changed. */
extern bool derive_sql_reads(struct Region *region, Bitmapset *changed);

extern const char *derive_sql_view_column(ViewPlan *plan, int attno);
extern char *derive_sql_equality(Oid operator, const char * left, const char *right);
extern char *derive_sql_output(ViewPlan *plan, const char *state_rows);
extern char *derive_sql_touched(ViewPlan *plan, Bitmapset *nulls, bool pretty);

#endif /* DERIVE_PLAN_SQL_H */
