/*-------------------------------------------------------------------------
 *
 * fold_touched.h
 *	  Groups that are computed anew, see fold_touched.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_FOLD_TOUCHED_H
#define DERIVE_MAINTAIN_FOLD_TOUCHED_H

#include "maintain/view_run.h"

/* The groups put aside in one run; opaque. */
typedef struct TouchedGroups TouchedGroups;

/* Takes a group: a state row with just its keys, and its new state or NULL. */
typedef void (*GroupConsumer)(TupleTableSlot *keys, TupleTableSlot *state, void *arg);

extern TouchedGroups *derive_touched_begin(ViewRun *run);
extern void derive_touched_add(TouchedGroups *touched, TupleTableSlot *state);
extern void derive_touched_run(TouchedGroups *touched, ViewRun *run,
							   GroupConsumer consume, void *arg);

#endif /* DERIVE_MAINTAIN_FOLD_TOUCHED_H */
