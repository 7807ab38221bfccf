/*-------------------------------------------------------------------------
 *
 * audit.h
 *	  Views audited between writers' commits, a few keys at a time, see audit.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_AUDIT_AUDIT_H
#define DERIVE_AUDIT_AUDIT_H

#include "maintain/tick.h"

/* Audits some keys if it is time to; the maintainer's audit hook. */
extern void derive_audit_tick(Maintainer *m);

#endif /* DERIVE_AUDIT_AUDIT_H */
