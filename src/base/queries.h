/*-------------------------------------------------------------------------
 *
 * queries.h
 *	  A query and those within it, see queries.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_QUERIES_H
#define DERIVE_BASE_QUERIES_H

#include "nodes/parsenodes.h"

extern List *derive_queries_within(Query *query);

#endif /* DERIVE_BASE_QUERIES_H */
