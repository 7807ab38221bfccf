/*-------------------------------------------------------------------------
 *
 * collations.h
 *	  Text that is read again with the collations of the query it was, see collations.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_COLLATIONS_H
#define DERIVE_PLAN_COLLATIONS_H

#include "nodes/parsenodes.h"

/*
 * Returns a copy of a query that has COLLATE wherever its text would otherwise be read with
 * other collations than it has.
 */
extern Query *derive_collations_say(Query *query);

#endif /* DERIVE_PLAN_COLLATIONS_H */
