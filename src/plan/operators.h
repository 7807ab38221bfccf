/*-------------------------------------------------------------------------
 *
 * operators.h
 *	  Text that is read again with the operators of the query it was, see operators.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_OPERATORS_H
#define DERIVE_PLAN_OPERATORS_H

#include "nodes/parsenodes.h"

/*
 * Returns a copy of a query that has another form wherever its text would otherwise be read
 * with other operators than it has.
 */
extern Query *derive_operators_say(Query *query);

#endif /* DERIVE_PLAN_OPERATORS_H */
