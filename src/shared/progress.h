/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far the recompute is that the applier is at, see progress.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_SHARED_PROGRESS_H
#define DERIVE_SHARED_PROGRESS_H

#include "shared/pipeline.h"

extern void derive_progress_begin(Oid view, ProgressPhase phase);
extern void derive_progress_rows(int64 rows);
extern void derive_progress_end(void);

#endif /* DERIVE_SHARED_PROGRESS_H */
