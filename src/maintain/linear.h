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

/* Signed rows on their way into a relation; opaque. */
typedef struct LinearApplier LinearApplier;

extern LinearApplier *derive_linear_begin(Target *target);
extern void derive_linear_take(TupleTableSlot *row, void *applier); /* a RowConsumer */
extern void derive_linear_end(LinearApplier *applier);

extern void derive_linear_apply(ViewRun *run);
extern void derive_linear_diff(Target *target, const char *diff_sql);

#endif /* DERIVE_MAINTAIN_LINEAR_H */
