/*-------------------------------------------------------------------------
 *
 * view_audit.h
 *	  Comparing some keys of a view with its query in a tick, see view_audit.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_AUDIT_VIEW_AUDIT_H
#define DERIVE_AUDIT_VIEW_AUDIT_H

#include "maintain/view_set.h"

/* A difference that was found; the rows as JSON, or NULL. */
typedef struct AuditDifference
{
	const char *kind;
	char *expected;
	char *actual;
} AuditDifference;

/*
 * Compares up to nkeys keys of a view, or all of it if that is cheap or nkeys is 0, at the
 * active snapshot, to which the view has been brought in this tick; its cohort's deltas are
 * still there.  Returns the differences (List of AuditDifference) in CurrentMemoryContext.
 * *compared: how many keys were compared.
 */
extern List *derive_audit_view(LiveView *view, int nkeys, int *compared);

#endif /* DERIVE_AUDIT_VIEW_AUDIT_H */
