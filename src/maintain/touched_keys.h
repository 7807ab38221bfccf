/*-------------------------------------------------------------------------
 *
 * touched_keys.h
 *	  Keys of what is computed anew, by pattern of NULLs, see touched_keys.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_TOUCHED_KEYS_H
#define DERIVE_MAINTAIN_TOUCHED_KEYS_H

#include "maintain/delta_query.h"

/* How "touched" is called in SQL. */
#define DERIVE_TOUCHED_NAME "touched"

/* The keys of one run; opaque. */
typedef struct TouchedKeys TouchedKeys;

extern TouchedKeys *derive_touched_keys_begin(Stage *stage);
extern void derive_touched_keys_add(TouchedKeys *touched, TupleTableSlot *row);
extern int derive_touched_keys_patterns(TouchedKeys *touched);
extern void derive_touched_keys_run(TouchedKeys *touched, QueryCache *queries,
									SqlMaker make_sql, RowConsumer consume, void *arg);

#endif /* DERIVE_MAINTAIN_TOUCHED_KEYS_H */
