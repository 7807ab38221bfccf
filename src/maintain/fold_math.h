/*-------------------------------------------------------------------------
 *
 * fold_math.h
 *	  A group's state and its delta into a new state, see fold_math.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_FOLD_MATH_H
#define DERIVE_MAINTAIN_FOLD_MATH_H

#include "executor/tuptable.h"
#include "plan/plan.h"

/* What a stage's arithmetic needs, looked up once per run; opaque. */
typedef struct FoldMath FoldMath;

typedef enum FoldResult
{
	FOLD_NEW_STATE, /* the new state is there */
	FOLD_GONE,		/* the group has no rows any more, or never had */
	FOLD_RECOMPUTE	/* no inverse: compute the group anew */
} FoldResult;

extern FoldMath *derive_fold_math(Stage *stage);
extern void
derive_fold_set_keys(FoldMath *math, TupleTableSlot *state, TupleTableSlot *row);
extern FoldResult derive_fold_add(FoldMath *math, TupleTableSlot *old,
								  TupleTableSlot *delta, TupleTableSlot *new);

#endif /* DERIVE_MAINTAIN_FOLD_MATH_H */
