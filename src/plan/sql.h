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

extern char *derive_sql_delta(ViewPlan *plan, Bitmapset *changed, bool pretty);
extern char *derive_sql_equality(Oid operator, const char * left, const char *right);
extern char *derive_sql_output(ViewPlan *plan, const char *state_rows);
extern char *derive_sql_touched(ViewPlan *plan, Bitmapset *nulls, bool pretty);

#endif /* DERIVE_PLAN_SQL_H */
