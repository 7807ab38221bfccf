/*-------------------------------------------------------------------------
 *
 * recompute.h
 *	  A view's whole content, first or anew, see recompute.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_RECOMPUTE_H
#define DERIVE_MAINTAIN_RECOMPUTE_H

#include "maintain/view_run.h"

extern void derive_recompute_build(ViewRun *run);
extern void derive_recompute_diff(ViewRun *run);
extern void derive_recompute_first(ViewRun *run);

#endif /* DERIVE_MAINTAIN_RECOMPUTE_H */
