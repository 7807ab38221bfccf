/*-------------------------------------------------------------------------
 *
 * row_image.h
 *	  Rows as canonical bytes: compared, hashed and turned back, see row_image.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_ROW_IMAGE_H
#define DERIVE_MAINTAIN_ROW_IMAGE_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"

/* What the image of rows of one tuple descriptor needs to know; opaque. */
typedef struct RowShape RowShape;

extern RowShape *derive_image_shape(TupleDesc desc);
extern MinimalTuple derive_image_form(RowShape *shape, TupleTableSlot *row);
extern MinimalTuple derive_image_tuple(Datum image);
extern int64 derive_image_hash(RowShape *shape, MinimalTuple image, TupleTableSlot *row);
extern bool
derive_image_rows_equal(RowShape *shape, TupleTableSlot *a, TupleTableSlot *b);

#endif /* DERIVE_MAINTAIN_ROW_IMAGE_H */
