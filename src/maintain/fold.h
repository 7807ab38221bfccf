/*-------------------------------------------------------------------------
 *
 * fold.h
 *	  GROUP BY with stored state, see fold.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_FOLD_H
#define DERIVE_MAINTAIN_FOLD_H

#include "maintain/view_run.h"

extern void derive_fold_apply(ViewRun *run);
extern void derive_fold_build(ViewRun *run);

#endif /* DERIVE_MAINTAIN_FOLD_H */
