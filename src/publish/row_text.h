/*-------------------------------------------------------------------------
 *
 * row_text.h
 *	  Rows as jsonb arrays of texts, see row_text.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_ROW_TEXT_H
#define DERIVE_PUBLISH_ROW_TEXT_H

#include "utils/jsonb.h"

/*
 * Returns a composite value of the row type that a relation has now, in CurrentMemoryContext;
 * throws if a value does not fit its column's type.
 */
extern Datum derive_row_from_texts(Oid relid, JsonbContainer *texts);

#endif /* DERIVE_PUBLISH_ROW_TEXT_H */
