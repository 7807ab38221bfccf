/*-------------------------------------------------------------------------
 *
 * row_sort.h
 *	  Signed rows in the order in which they can be applied, see row_sort.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_ROW_SORT_H
#define DERIVE_MAINTAIN_ROW_SORT_H

#include "maintain/target.h"

/* Signed rows of one relation; opaque. */
typedef struct RowSort RowSort;

extern RowSort *derive_sort_begin(TargetSpec *spec);
extern void derive_sort_put(RowSort *sort, TupleTableSlot *row, int sign);
extern void derive_sort_put_signed(RowSort *sort, TupleTableSlot *row);
extern void derive_sort_apply(RowSort *sort, Target *target);

#endif /* DERIVE_MAINTAIN_ROW_SORT_H */
