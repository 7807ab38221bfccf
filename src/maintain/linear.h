/*-------------------------------------------------------------------------
 *
 * linear.h
 *	  Signed rows into a relation, see linear.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_LINEAR_H
#define DERIVE_MAINTAIN_LINEAR_H

#include "maintain/view_run.h"

extern void derive_linear_apply(ViewRun *run);
extern void derive_linear_diff(Target *target, const char *diff_sql);

#endif							/* DERIVE_MAINTAIN_LINEAR_H */
