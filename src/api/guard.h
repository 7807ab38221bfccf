/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Commands that would change a view behind pg_derive's back, see guard.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_API_GUARD_H
#define DERIVE_API_GUARD_H

#include "nodes/nodes.h"

extern void derive_guard_check(Node *command);

#endif /* DERIVE_API_GUARD_H */
