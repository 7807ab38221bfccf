/*-------------------------------------------------------------------------
 *
 * functions.h
 *	  The functions that a view's definition calls, see functions.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_FUNCTIONS_H
#define DERIVE_MAINTAIN_FUNCTIONS_H

#include "nodes/pg_list.h"

/* Returns the functions that a definition calls, in their present versions. */
extern List *derive_functions_of(Oid definition);

/* Copies such a list into CurrentMemoryContext. */
extern List *derive_functions_copy(List *functions);

/* Says whether a function that both lists have is another version in the second. */
extern bool derive_functions_replaced(List *before, List *after);

/* Says whether a function of the list has this hash value in the system cache. */
extern bool derive_functions_contain(List *functions, uint32 hash);

#endif /* DERIVE_MAINTAIN_FUNCTIONS_H */
