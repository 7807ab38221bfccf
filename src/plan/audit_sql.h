/*-------------------------------------------------------------------------
 *
 * audit_sql.h
 *	  The SQL of audits: some keys of a stage, or all of it, compared with its query.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_AUDIT_SQL_H
#define DERIVE_PLAN_AUDIT_SQL_H

#include "plan/plan.h"

/*
 * By what a stage is audited in parts: keys, named k1 ..., and where they are in the view's
 * and (of a fold) in the state's rows.
 */
typedef struct AuditKey
{
	int nkeys; /* 0: the stage is only audited as a whole */
	FoldKey *keys;
	List *columns; /* attnos of the view, 0 for a key that it does not show */
} AuditKey;

extern AuditKey *derive_audit_key(ViewPlan *plan);

/*
 * SQL that compares a relation with what it should hold: rows of count (int8; more than 0:
 * expected but not stored, less: stored but not expected), image (bytea) and part (int8:
 * equal for rows with one key).  NULL if it cannot be compared.  The first two are
 * for all rows, the other two for the keys in named tuplestore "touched", whose values must
 * differ; nulls says which are NULL in all of them.
 */
extern char *derive_audit_whole_view_sql(ViewPlan *plan, Bitmapset *unused);
extern char *derive_audit_whole_state_sql(ViewPlan *plan, Bitmapset *unused);
extern char *derive_audit_view_sql(ViewPlan *plan, Bitmapset *nulls);
extern char *derive_audit_state_sql(ViewPlan *plan, Bitmapset *nulls);

#endif /* DERIVE_PLAN_AUDIT_SQL_H */
